import { createHash, timingSafeEqual } from "node:crypto";

/** Who a request comes from, by its key. */
export type Caller = "owner" | "client" | "anonymous" | "invalid key";

export interface ApiKeys {
  readonly apiKeys: readonly string[];
  readonly adminApiKeys: readonly string[];
}

/**
 * Tells callers by their keys in `X-API-Key`, or in `Authorization: Bearer` where there is no such header, in a time that says nothing about the keys: digests of equal length are
 * compared, each with every key. Without keys everybody is the owner.
 */
export function createCallerCheck({ apiKeys, adminApiKeys }: ApiKeys) {
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

// Prometheus can't send headers of other names.
function bearerOf(headers: Headers): string | undefined {
  return /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
}

function includes(digests: Buffer[], digested: Buffer): boolean {
  let found = false;
  for (const one of digests) found = timingSafeEqual(one, digested) || found;
  return found;
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}
