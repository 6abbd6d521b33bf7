import type { Context } from "elysia";

/** Allowed request headers, besides the CORS-safelisted ones. */
const REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, X-API-Key, X-Request-Id";

/** Exposed response headers, besides the CORS-safelisted ones. */
const RESPONSE_HEADERS = "Allow, Idempotent-Replayed, Retry-After, WWW-Authenticate, X-Request-Id";

/** How long browsers cache a preflight response. Chromium's maximum is two hours. */
const MAX_AGE_S = 7200;

/**
 * Returns the CORS handling that lets pages from these origins call the API (Fetch standard, "CORS
 * protocol"). Without origins it does nothing.
 */
export function createCors(origins: readonly string[]) {
  const allowed = new Set(origins);

  function isAllowed(headers: Headers): boolean {
    const origin = headers.get("origin");
    return origin !== null && allowed.has(origin);
  }

  return {
    /** Sets the headers of every response, which tell the browser whether the page may read it. */
    setHeaders({ headers }: Request, set: Context["set"]) {
      if (allowed.size === 0) return;
      set.headers["vary"] = "Origin";
      if (!isAllowed(headers)) return;
      set.headers["access-control-allow-origin"] = String(headers.get("origin"));
      set.headers["access-control-expose-headers"] = RESPONSE_HEADERS;
    },
    /** Returns whether this is a preflight request for a page from an allowed origin. */
    isPreflight({ method, headers }: Request): boolean {
      return (
        method === "OPTIONS" && headers.has("access-control-request-method") && isAllowed(headers)
      );
    },
    /** Sets the headers of a preflight response. `methods` are those of the path. */
    setPreflightHeaders(set: Context["set"], methods: string) {
      set.headers["access-control-allow-methods"] = methods;
      set.headers["access-control-allow-headers"] = REQUEST_HEADERS;
      set.headers["access-control-max-age"] = String(MAX_AGE_S);
    },
  };
}
