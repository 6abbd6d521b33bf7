import { digest, hmac } from "../lib/digest.ts";
import { resolve } from "node:path";
import type { Config } from "../config.ts";
import type { Dispatcher } from "../settings.ts";
import { isRecent } from "../lib/is-recent.ts";

const SESSION_MS = 12 * 3_600_000;

/** The name of every dispatcher if no keys are configured. */
export const DEFAULT_NAME = "dispatcher";

/** The settings that sessions depend on. */
export type SessionConfig = Pick<Config, "dispatchers" | "publicUrl" | "database" | "port">;

export interface Sessions {
  /** Finds the dispatcher with this key, in constant time. */
  ownerOf(key: string): Dispatcher | undefined;
  /** Returns the `Set-Cookie` value that starts a session. */
  begin(dispatcher: Dispatcher, now: number): string;
  /** Returns the `Set-Cookie` value that ends the session. */
  end(): string;
  /** Returns the name of the dispatcher if the cookies have a valid session. */
  nameOf(cookies: string | null, now: number): string | undefined;
}

/**
 * Creates stateless sessions: cookies `name.endsAt.HMAC`, signed with the dispatcher's key.
 * Removing a key ends its sessions, and every instance accepts them. Without configured
 * dispatchers, no session is needed.
 */
export function createSessions(config: SessionConfig): Sessions {
  const { dispatchers, publicUrl } = config;
  const isHttps = publicUrl?.startsWith("https:") ?? false;
  // Browsers share cookies between the ports of a host, so each service has its own name.
  const serviceName = `nmservis-${digest(identityOf(config)).toHex().slice(0, 8)}`;
  // `__Host-` excludes cookies from subdomains and plain HTTP (RFC 6265bis, section 4.1.3.2).
  const cookie = isHttps ? `__Host-${serviceName}` : serviceName;
  const attributes = `Path=/; HttpOnly; SameSite=Lax${isHttps ? "; Secure" : ""}`;

  function sign({ name, key }: Dispatcher, endsAt: string): string {
    return hmac(key, `${name}.${endsAt}`, "base64url");
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
      if (dispatchers.length === 0) return DEFAULT_NAME;
      const value = cookieOf(cookies, cookie);
      const [name, endsAt = "", signature = ""] = value?.split(".") ?? [];
      const dispatcher = dispatchers.find((one) => encodeURIComponent(one.name) === name);
      const beganAt = Number(endsAt) - SESSION_MS;
      if (dispatcher === undefined || !/^\d+$/.test(endsAt)) return undefined;
      if (!isRecent(beganAt, now, SESSION_MS)) return undefined;
      return isSame(sign(dispatcher, endsAt), signature) ? dispatcher.name : undefined;
    },
  };
}

/**
 * Returns a string that all instances of a service share, and that differs between services on one
 * host: the public URL, else the database. For SQLite, which has one process, also the port.
 */
function identityOf({ publicUrl, database, port }: SessionConfig): string {
  if (publicUrl !== null) return publicUrl;
  if (database.kind === "sqlite") return `${port} ${resolve(database.path)}`;
  // Without user and password: a hash of them could be brute-forced offline.
  const { host, pathname } = new URL(database.url);
  return `${host}${pathname}`;
}

/** Returns the raw value of a cookie. */
export function cookieOf(cookies: string | null, name: string): string | undefined {
  const pairs = (cookies ?? "").split(";").map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** Compares two texts in constant time. */
export function isSame(a: string, b: string): boolean {
  return crypto.timingSafeEqual(digest(a), digest(b));
}
