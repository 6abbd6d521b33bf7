import type { Access } from "./keys.ts";

export interface Route {
  /** As it is declared, such as `/orders/:order_id`. */
  readonly path: string;
  readonly access: Access;
}

/** What the framework knows of a route, as far as it matters here. */
interface DeclaredRoute {
  readonly method: string;
  readonly path: string;
  readonly hooks?: { readonly detail?: { readonly hide?: boolean; readonly security?: object[] } };
}

/** The name of the owner's key in the OpenAPI document. */
export const OWNER_KEY = "OwnerKey";

/** Finds the routes at a request's path, by method; undefined where there are none. */
export type RouteFinder = (request: Request) => ReadonlyMap<string, Route> | undefined;

/** A finder for what the app has declared when it is first asked. */
export function createRouteFinder(app: { readonly routes: readonly DeclaredRoute[] }): RouteFinder {
  let routesAt: ReturnType<typeof createRouteMap> | undefined;
  return ({ url }) => {
    routesAt ??= createRouteMap(app.routes);
    return routesAt(pathOf(url));
  };
}

/** The path of an absolute URL, as it stands there; what is none has no route either. */
function pathOf(url: string): string {
  const start = url.indexOf("/", "https://".length);
  if (start === -1) return "";
  const query = url.indexOf("?", start);
  return query === -1 ? url.slice(start) : url.slice(start, query);
}

/**
 * Who may use a route is what its documentation says: `security: []` is open, `OWNER_KEY` the owner's,
 * anything else needs a client's key.
 */
function createRouteMap(declared: readonly DeclaredRoute[]) {
  const literal = new Map<string, Map<string, Route>>();
  for (const { method, path, hooks } of declared) {
    const methods = literal.get(path) ?? new Map<string, Route>();
    methods.set(method, { path, access: accessOf(hooks?.detail) });
    literal.set(path, methods);
  }
  const patterns = Array.from(literal)
    .filter(([path]) => path.includes(":"))
    .map(([path, methods]) => ({ segments: path.split("/"), methods }));

  return function routesAt(pathname: string): ReadonlyMap<string, Route> | undefined {
    // The router takes a trailing slash for none as well.
    const path = /[^/]\/$/.test(pathname) ? pathname.slice(0, -1) : pathname;
    const found = path.includes(":") ? undefined : literal.get(path);
    if (found !== undefined) return found;
    const segments = path.split("/");
    return patterns.find((pattern) => matches(pattern.segments, segments))?.methods;
  };
}

function accessOf(detail: { hide?: boolean; security?: object[] } | undefined): Access {
  // What is not in the document is Swagger UI, which shows it.
  if (detail?.hide === true || detail?.security?.length === 0) return "open";
  const ownersOnly = detail?.security?.some((requirement) => OWNER_KEY in requirement) ?? false;
  return ownersOnly ? "owner" : "client";
}

function matches(pattern: string[], segments: string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((name, at) =>
      name.startsWith(":") ? segments[at] !== "" : name === segments[at],
    )
  );
}
