import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { Dispatcher } from "../config.ts";

const SESSION_MS = 12 * 3_600_000;

/** Who works where nobody has a key. */
export const ANYBODY = "dispatcher";

export interface Sessions {
  /** Whose key this is, if it is one; compared in a time that says nothing about the keys. */
  ownerOf(key: string): Dispatcher | undefined;
  /** The value of `Set-Cookie` that begins a session. */
  begin(dispatcher: Dispatcher, now: number): string;
  /** The value of `Set-Cookie` that ends it. */
  end(): string;
  /** The name of the dispatcher whose session the cookies carry, if it is valid. */
  nameOf(cookies: string | null, now: number): string | undefined;
}

/**
 * Sessions in cookies alone: `name.endsAt.HMAC`, under the person's own key, so that a key which is taken
 * away ends its sessions, and every copy knows them. Without dispatchers everybody is one.
 */
export function createSessions(dispatchers: readonly Dispatcher[], isHttps: boolean): Sessions {
  // A cookie of this name can't come from a subdomain, nor over plain HTTP (RFC 6265bis, section 4.1.3.2).
  const cookie = isHttps ? "__Host-nmservis" : "nmservis";
  const attributes = `Path=/; HttpOnly; SameSite=Lax${isHttps ? "; Secure" : ""}`;

  function sign({ name, key }: Dispatcher, endsAt: string): string {
    return createHmac("sha256", key).update(`${name}.${endsAt}`).digest("base64url");
  }

  return {
    ownerOf(key) {
      let owner: Dispatcher | undefined;
      for (const dispatcher of dispatchers) {
        if (isSame(dispatcher.key, key)) owner = dispatcher;
      }
      return owner;
    },
    begin(dispatcher, now) {
      const endsAt = String(now + SESSION_MS);
      const value = `${encodeURIComponent(dispatcher.name)}.${endsAt}.${sign(dispatcher, endsAt)}`;
      return `${cookie}=${value}; Max-Age=${SESSION_MS / 1000}; ${attributes}`;
    },
    end: () => `${cookie}=; Max-Age=0; ${attributes}`,
    nameOf(cookies, now) {
      if (dispatchers.length === 0) return ANYBODY;
      const value = cookieOf(cookies, cookie);
      const [name, endsAt = "", signature = ""] = value?.split(".") ?? [];
      const dispatcher = dispatchers.find((one) => encodeURIComponent(one.name) === name);
      if (dispatcher === undefined || !/^\d+$/.test(endsAt) || Number(endsAt) <= now)
        return undefined;
      return isSame(sign(dispatcher, endsAt), signature) ? dispatcher.name : undefined;
    },
  };
}

/** The value of a cookie, as it stands in the header. */
export function cookieOf(cookies: string | null, name: string): string | undefined {
  const pairs = (cookies ?? "").split(";").map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
}

function isSame(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
