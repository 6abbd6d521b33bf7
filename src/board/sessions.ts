import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { resolve } from "node:path";
import type { Config } from "../config.ts";
import type { Dispatcher } from "../settings.ts";
import { isRecent } from "../orders/change-stage.ts";

const SESSION_MS = 12 * 3_600_000;

/** Who works where nobody has a key. */
export const ANYBODY = "dispatcher";

/** The settings that sessions depend on. */
export type SessionConfig = Pick<Config, "dispatchers" | "publicUrl" | "database" | "port">;

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
export function createSessions(config: SessionConfig): Sessions {
  const { dispatchers, publicUrl } = config;
  const isHttps = publicUrl?.startsWith("https:") ?? false;
  // Browsers share cookies between the ports of a host, so each instance has its own name.
  const instance = `nmservis-${digest(instanceOf(config)).toString("hex").slice(0, 8)}`;
  // A cookie of this name can't come from a subdomain, nor over plain HTTP (RFC 6265bis, section 4.1.3.2).
  const cookie = isHttps ? `__Host-${instance}` : instance;
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
      const beganAt = Number(endsAt) - SESSION_MS;
      if (dispatcher === undefined || !/^\d+$/.test(endsAt)) return undefined;
      if (!isRecent(beganAt, now, SESSION_MS)) return undefined;
      return isSame(sign(dispatcher, endsAt), signature) ? dispatcher.name : undefined;
    },
  };
}

/**
 * Text that differs between two instances on one host and is the same for all copies of one instance: the
 * public URL, else the database. A SQLite file has one process, so its port counts as well.
 */
function instanceOf({ publicUrl, database, port }: SessionConfig): string {
  if (publicUrl !== null) return publicUrl;
  if (database.kind === "sqlite") return `${port} ${resolve(database.path)}`;
  // Without user and password: a hash of them in a cookie could be guessed offline.
  const { host, pathname } = new URL(database.url);
  return `${host}${pathname}`;
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
