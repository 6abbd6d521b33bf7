import type { TObject } from "@sinclair/typebox";
import type { DocumentDecoration } from "elysia";
import { type ApiKeys, type Caller, createCallerCheck } from "./api-keys.ts";
import { describeQuery, type Example } from "./schemas.ts";

/**
 * Who may use a route: everybody, whoever has a client's key, the owner alone; or a dispatcher, whose session
 * the board itself looks at, and who sends forms.
 */
export type Access = "open" | "client" | "owner" | "dispatcher";

/** The names of the keys in the OpenAPI document. */
export const CLIENT_KEY = "ClientKey";
export const OWNER_KEY = "OwnerKey";

/** What the document says of each access. */
const SECURITY: Readonly<Record<Access, Record<string, never[]>[]>> = {
  open: [],
  // The owner's key opens it too, in the same header: one entry is enough to try it.
  client: [{ [CLIENT_KEY]: [] }],
  owner: [{ [OWNER_KEY]: [] }],
  // The document does not have the board.
  dispatcher: [],
};

/** The part of the OpenAPI document that a route declares besides its schemas and its access. */
interface Detail extends DocumentDecoration {
  /** Complete examples of the answer 200, by name. */
  readonly examples?: Readonly<Record<string, Example>>;
}

/**
 * Completes the options of a route with its security and parameters in the OpenAPI document. The
 * plugin alone would drop the query if `detail` has parameters.
 */
export function routeOptions<
  Options extends { access: Access; anyHost?: boolean; detail: Detail; query?: TObject },
>(options: Options) {
  const { access, detail, query } = options;
  const parameters = [...(detail.parameters ?? []), ...(query ? describeQuery(query) : [])];
  return { ...options, detail: { ...detail, parameters, security: SECURITY[access] } };
}

export interface Route {
  readonly access: Access;
  /** Serves requests with any `Host`, or none: health probes name an address or a container. */
  readonly anyHost: boolean;
}

/** What is known of a request before its body is read. */
export interface RequestInfo {
  readonly caller: Caller;
  /** The routes at its path, by method; undefined where there are none. */
  readonly routes: ReadonlyMap<string, Route> | undefined;
  /** The declared path, such as `/orders/:order_id`; undefined if there is none. */
  readonly path: string | undefined;
}

/** What the framework knows of a route, as far as it matters here. */
interface DeclaredRoute {
  readonly method: string;
  readonly path: string;
  readonly hooks?: { readonly access?: Access; readonly anyHost?: boolean };
}

/** Finds out, once for each request, who sends it and what is at its path. */
export interface AccessControl {
  /**
   * `path` is the one by which the framework's router finds the route. The app's routes are read on the
   * first call, when all are declared.
   */
  identify(
    request: Request,
    path: string,
    app: { readonly routes: readonly DeclaredRoute[] },
  ): RequestInfo;
  /** What was found out of this request, if it came so far. */
  infoOf(request: Request): RequestInfo | undefined;
}

export function createAccess(keys: ApiKeys): AccessControl {
  const callerOf = createCallerCheck(keys);
  const infos = new WeakMap<Request, RequestInfo>();
  let routesAt: ReturnType<typeof createRouteMap> | undefined;

  return {
    identify(request, path, app) {
      routesAt ??= createRouteMap(app.routes);
      const found = routesAt(path);
      const caller = callerOf(request.headers);
      const info = { caller, routes: found?.methods, path: found?.path };
      infos.set(request, info);
      return info;
    },
    infoOf: (request) => infos.get(request),
  };
}

/** Whether the caller may use what needs this access. */
export function isAllowed(access: Access, caller: Caller): boolean {
  switch (access) {
    case "open":
    case "dispatcher":
      return true;
    case "client":
      return caller === "client" || caller === "owner";
    case "owner":
      return caller === "owner";
  }
}

/** What the header `Allow` says of a path with these routes (RFC 9110, section 10.2.1). */
export function allowHeader(routes: ReadonlyMap<string, Route>): string {
  const methods = Array.from(routes.keys(), (method) => (method === "GET" ? "GET, HEAD" : method));
  return [...methods, "OPTIONS"].join(", ");
}

interface RoutesAtPath {
  readonly path: string;
  readonly methods: Map<string, Route>;
}

/** Default access: `client`. */
function createRouteMap(declared: readonly DeclaredRoute[]) {
  const routes = new Map<string, RoutesAtPath>();
  for (const { method, path, hooks } of declared) {
    const at = routes.get(path) ?? { path, methods: new Map<string, Route>() };
    const { access = "client", anyHost = false } = hooks ?? {};
    at.methods.set(method, { access, anyHost });
    routes.set(path, at);
  }
  const patterns = Array.from(routes.values())
    .filter(({ path }) => path.includes(":"))
    .map((routesAtPath) => ({
      pattern: new RegExp(`^${routesAtPath.path.replace(/:\w+/g, "[^/]+")}$`),
      routesAtPath,
    }));

  return function routesAt(pathname: string): RoutesAtPath | undefined {
    // The router takes a trailing slash for none as well.
    const path = /[^/]\/$/.test(pathname) ? pathname.slice(0, -1) : pathname;
    return routes.get(path) ?? patterns.find(({ pattern }) => pattern.test(path))?.routesAtPath;
  };
}
