import type { Context } from "elysia";

/** What a page may send beside what every page may. */
const REQUEST_HEADERS = "Content-Type, Idempotency-Key, X-API-Key, X-Request-Id";

/** What a page may read of an answer beside what every page may. */
const RESPONSE_HEADERS = "Allow, Idempotent-Replayed, Retry-After, WWW-Authenticate, X-Request-Id";

/** How long a browser need not ask again; more than two hours none remembers. */
const MAX_AGE_S = 7200;

/** Lets the pages of some origins call (the Fetch standard, "CORS protocol"); without origins it does nothing. */
export function createCors(origins: readonly string[]) {
  const allowed = new Set(origins);

  function isAllowed(headers: Headers): boolean {
    const origin = headers.get("origin");
    return origin !== null && allowed.has(origin);
  }

  return {
    /** Sets what every answer has: whether the page that asks may read it. */
    setHeaders({ headers }: Request, set: Context["set"]) {
      if (allowed.size === 0) return;
      set.headers["vary"] = "Origin";
      if (!isAllowed(headers)) return;
      set.headers["access-control-allow-origin"] = String(headers.get("origin"));
      set.headers["access-control-expose-headers"] = RESPONSE_HEADERS;
    },
    /** Whether a browser asks here, without a key, what a page of an allowed origin may send. */
    isPreflight({ method, headers }: Request): boolean {
      return (
        method === "OPTIONS" && headers.has("access-control-request-method") && isAllowed(headers)
      );
    },
    /** Sets what the answer to a preflight has: these methods are taken here. */
    setPreflightHeaders(set: Context["set"], methods: string) {
      set.headers["access-control-allow-methods"] = methods;
      set.headers["access-control-allow-headers"] = REQUEST_HEADERS;
      set.headers["access-control-max-age"] = String(MAX_AGE_S);
    },
  };
}
