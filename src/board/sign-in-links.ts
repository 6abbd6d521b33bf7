import { eq, sql } from "drizzle-orm";
import { digest, hmac } from "../lib/digest.ts";
import type { Clock } from "../ports.ts";
import type { Dispatcher } from "../settings.ts";
import { prepared, type ReadTx, type Store } from "../store/store.ts";
import { isSame } from "./sessions.ts";

/** How long a link is valid. */
export const LINK_MS = 15 * 60_000;

/** The clocks of the owner's machine and of the database server may differ by this. */
const CLOCK_SKEW_MS = 60_000;

/** Keys that sign links, by the dispatcher's key. Derived once: forged links must not cost time. */
const signingKeys = new Map<string, Promise<Uint8Array>>();

/**
 * Derives the key that signs a dispatcher's links. A link passes through messengers: with scrypt, a
 * key can't be brute-forced from one.
 */
function signingKeyOf({ key }: Dispatcher): Promise<Uint8Array> {
  const known = signingKeys.get(key) ?? derive(key);
  signingKeys.set(key, known);
  return known;
}

async function derive(key: string): Promise<Uint8Array> {
  // Loaded here: it adds 8 ms to each start.
  const { scrypt } = await import("node:crypto");
  return new Promise((resolve, reject) => {
    scrypt(key, "nmservis sign-in link", 32, (error, derived) =>
      error ? reject(error) : resolve(derived),
    );
  });
}

/** Returns the path of a link that signs the dispatcher in once, within `LINK_MS`. */
export async function createSignInLink(dispatcher: Dispatcher, now: number): Promise<string> {
  const claim = `${Buffer.from(dispatcher.name).toString("base64url")}.${now + LINK_MS}`;
  return `/board/sign-in?link=${claim}.${hmac(await signingKeyOf(dispatcher), claim, "base64url")}`;
}

export interface SignInLinks {
  /** Returns the dispatcher whom a valid, possibly used, link signs in. */
  ownerOf(link: string): Promise<Dispatcher | undefined>;
  /**
   * Marks a valid link as used by the browser with this nonce. Returns false if another browser has
   * used it. The same browser may repeat it: the first response may be lost.
   */
  use(link: string, nonce: string): Promise<boolean>;
  /** Returns whether another browser has used the link. */
  isUsedElsewhere(link: string, nonce: string | undefined): Promise<boolean>;
}

const insertUsed = prepared((tx, { usedLinks }) =>
  tx
    .insert(usedLinks)
    .values({ link: sql.placeholder("link"), browser: sql.placeholder("browser") })
    // Writes nothing new, but returns the row if the same browser has used the link.
    .onConflictDoUpdate({
      target: usedLinks.link,
      set: { browser: sql`${usedLinks.browser}` },
      setWhere: sql`${usedLinks.browser} = excluded.browser`,
    })
    .returning({ link: usedLinks.link }),
);

const usedLink = prepared((tx: ReadTx, { usedLinks }) =>
  tx
    .select()
    .from(usedLinks)
    .where(eq(usedLinks.link, sql.placeholder("link"))),
);

/** Without the signature, which could be followed by anything that `ownerOf` ignores. */
function claimOf(link: string): string {
  return link.split(".", 2).join(".");
}

/** A leaked backup must not contain a valid nonce. */
function browserOf(nonce: string): string {
  return digest(nonce).toHex();
}

/**
 * Creates the check of sign-in links. Used ones are stored, so that every instance rejects them.
 */
export function createSignInLinks(
  dispatchers: readonly Dispatcher[],
  store: Store,
  now: Clock,
): SignInLinks {
  return {
    async ownerOf(link) {
      const [name = "", endsAt = "", signature = ""] = link.split(".");
      const leftMs = /^\d+$/.test(endsAt) ? Number(endsAt) - now() : 0;
      const dispatcher = dispatchers.find(
        (one) => Buffer.from(one.name).toString("base64url") === name,
      );
      if (dispatcher === undefined || leftMs <= 0 || leftMs > LINK_MS + CLOCK_SKEW_MS) {
        return undefined;
      }
      const expected = hmac(await signingKeyOf(dispatcher), `${name}.${endsAt}`, "base64url");
      return isSame(expected, signature) ? dispatcher : undefined;
    },
    async use(link, nonce) {
      const values = { link: claimOf(link), browser: browserOf(nonce) };
      const rows = await store.run((tx) => insertUsed(tx, values));
      return rows.length > 0;
    },
    async isUsedElsewhere(link, nonce) {
      const [used] = await store.read((tx) => usedLink(tx, { link: claimOf(link) }));
      return used !== undefined && (nonce === undefined || used.browser !== browserOf(nonce));
    },
  };
}
