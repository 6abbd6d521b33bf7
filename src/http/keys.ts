import { createHash, timingSafeEqual } from "node:crypto";
import type { Settings } from "../settings.ts";

/** Who may do something: everybody, whoever has a client's key, the owner alone. */
export type Access = "open" | "client" | "owner";

/** Who a request comes from, by its `X-API-Key`. */
export type Caller = "owner" | "client" | "stranger" | "impostor";

/**
 * Tells callers by their keys, in a time that says nothing about the keys: digests of equal length are
 * compared, each with every key. Without keys everybody is the owner.
 */
export function createKeys({ apiKeys, adminApiKeys }: Pick<Settings, "apiKeys" | "adminApiKeys">) {
  const clients = apiKeys.map(digest);
  const owners = adminApiKeys.map(digest);

  return function callerOf(headers: Headers): Caller {
    if (clients.length === 0) return "owner";
    const key = headers.get("x-api-key");
    if (key === null) return "stranger";
    const digested = digest(key);
    const isClient = includes(clients, digested);
    const isOwner = includes(owners, digested);
    if (isOwner) return "owner";
    return isClient ? "client" : "impostor";
  };
}

/** Whether the caller may go where `access` is needed. */
export function admits(access: Access, caller: Caller): boolean {
  switch (access) {
    case "open":
      return true;
    case "client":
      return caller === "client" || caller === "owner";
    case "owner":
      return caller === "owner";
  }
}

function includes(digests: Buffer[], digested: Buffer): boolean {
  let found = false;
  for (const one of digests) found = timingSafeEqual(one, digested) || found;
  return found;
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}
