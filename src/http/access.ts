import type { TObject } from "@sinclair/typebox";
import type { DocumentDecoration } from "elysia";
import type { Config } from "../config.ts";
import { describeQuery, type Example } from "./schemas.ts";
import { digest } from "../lib/digest.ts";

/**
 * Required access: none, a client key, the owner's key, or a dispatcher's session, which the board
 * checks itself. Dispatcher routes take forms, all others JSON.
 */
type Access = "open" | "client" | "owner" | "dispatcher";

/** Names of the security schemes in the OpenAPI document. */
export const CLIENT_KEY = "ClientKey";
export const OWNER_KEY = "OwnerKey";

/** OpenAPI security requirements. */
const SECURITY: Readonly<Record<Access, Record<string, never[]>[]>> = {
  open: [],
  // The owner's key works too, in the same header: one entry is enough in Swagger UI.
  client: [{ [CLIENT_KEY]: [] }],
  owner: [{ [OWNER_KEY]: [] }],
  // The board is not in the document.
  dispatcher: [],
};

/** OpenAPI fields of a route besides its schemas and access. */
interface Detail extends DocumentDecoration {
  /** Complete examples of the 200 response, by name. */
  readonly examples?: Readonly<Record<string, Example>>;
}

/**
 * Adds OpenAPI security and parameters to the options of a route. The plugin alone would drop the
 * query if `detail` has parameters.
 */
export function routeOptions<
  Options extends { access: Access; anyHost?: boolean; detail: Detail; query?: TObject },
>(options: Options) {
  const { access, detail, query } = options;
  const parameters = [...(detail.parameters ?? []), ...(query ? describeQuery(query) : [])];
  return { ...options, detail: { ...detail, parameters, security: SECURITY[access] } };
}

interface Route {
  readonly access: Access;
  /** Accepts any or no `Host`: health probes send an address or a container name. */
  readonly anyHost: boolean;
}

/** The result of `AccessControl.identify`, which does not read the request body. */
interface RequestInfo {
  readonly caller: Caller;
  /** Undefined if the path is unknown. */
  readonly routes: RoutesAtPath | undefined;
}

/** The relevant part of the framework's route. */
interface DeclaredRoute {
  readonly method: string;
  readonly path: string;
  readonly hooks?: { readonly access?: Access; readonly anyHost?: boolean };
}

/** Identifies the caller and the routes of each request, once. */
export interface AccessControl {
  /**
   * Identifies a request. `path` is the one that the framework's router uses. Reads the app's
   * routes on the first call, when all are declared.
   */
  identify(
    request: Request,
    path: string,
    app: { readonly routes: readonly DeclaredRoute[] },
  ): RequestInfo;
  /** Returns the result of `identify`, or undefined if the request was never identified. */
  infoOf(request: Request): RequestInfo | undefined;
}

export function createAccess(keys: ApiKeys): AccessControl {
  const callerOf = createCallerCheck(keys);
  const infos = new WeakMap<Request, RequestInfo>();
  let routesAt: ReturnType<typeof createRouteMap> | undefined;

  return {
    identify(request, path, app) {
      routesAt ??= createRouteMap(app.routes);
      const info = { caller: callerOf(request.headers), routes: routesAt(path) };
      infos.set(request, info);
      return info;
    },
    infoOf: (request) => infos.get(request),
  };
}

/** Returns whether the caller has this access. */
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

/** Returns the `Allow` header for these routes (RFC 9110, section 10.2.1). */
export function allowHeader(routes: RoutesAtPath): string {
  const methods = Array.from(routes.methods.keys(), (method) =>
    method === "GET" ? "GET, HEAD" : method,
  );
  return [...methods, "OPTIONS"].join(", ");
}

interface RoutesAtPath {
  /** As declared, such as `/orders/:order_id`. */
  readonly path: string;
  readonly methods: Map<string, Route>;
}

/** Indexes the routes by path. Default access: `client`. */
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
    // The router ignores a trailing slash.
    const path = /[^/]\/$/.test(pathname) ? pathname.slice(0, -1) : pathname;
    return routes.get(path) ?? patterns.find(({ pattern }) => pattern.test(path))?.routesAtPath;
  };
}

/** The sender of a request, identified by its key. */
type Caller = "owner" | "client" | "anonymous" | "invalid key";

type ApiKeys = Pick<Config, "apiKeys" | "adminApiKeys">;

/**
 * Returns a function that identifies callers by `X-API-Key` or, if it is missing, by
 * `Authorization: Bearer`. Runs in constant time: compares digests of equal length, with every key.
 * If no keys are configured, every caller is the owner.
 */
function createCallerCheck({ apiKeys, adminApiKeys }: ApiKeys) {
  const clients = apiKeys.map(digest);
  const owners = adminApiKeys.map(digest);

  return function callerOf(headers: Headers): Caller {
    if (clients.length === 0) return "owner";
    const key = headers.get("x-api-key") ?? bearerOf(headers);
    if (key === undefined) return "anonymous";
    const digested = digest(key);
    const isClient = includes(clients, digested);
    const isOwner = includes(owners, digested);
    if (isOwner) return "owner";
    return isClient ? "client" : "invalid key";
  };
}

// Prometheus sends keys only in this header.
function bearerOf(headers: Headers): string | undefined {
  return /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
}

function includes(digests: Uint8Array[], digested: Uint8Array): boolean {
  let found = false;
  for (const candidate of digests) found = crypto.timingSafeEqual(candidate, digested) || found;
  return found;
}

/** A name or a bracketed IPv6 address, with an optional port (RFC 9110, section 7.2). */
const AUTHORITY = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d*)?$/;

/** Returns the name in a `Host` header, lower-case and without a port; undefined if malformed. */
function hostName(authority: string): string | undefined {
  return AUTHORITY.exec(authority.toLowerCase())?.[1];
}

/**
 * Returns a check of `Host` headers against `names`; null accepts any well-formed one. Protects
 * against DNS rebinding: rejects requests of pages whose host name resolves to our address.
 */
export function createHostCheck(names: readonly string[] | null) {
  const allowed = names && new Set(names.map(hostName));
  // Almost every request has the same Host as the previous one.
  let lastAllowed: string | null = null;

  return function isAllowed(authority: string | null): boolean {
    if (authority === null) return false;
    if (authority === lastAllowed) return true;
    const name = hostName(authority);
    const isMatch = name !== undefined && (allowed === null || allowed.has(name));
    if (isMatch) lastAllowed = authority;
    return isMatch;
  };
}
