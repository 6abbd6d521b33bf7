import { eq, sql } from "drizzle-orm";
import type { Needs } from "../dependencies.ts";
import { readForm } from "../http/request-body.ts";
import { digest, hmac } from "../lib/digest.ts";
import { secondsUntil } from "../lib/format.ts";
import { createRateLimit } from "../lib/rate-limit.ts";
import type { Clock } from "../ports.ts";
import { type Dispatcher, LOOPBACK } from "../settings.ts";
import { prepared, type ReadTx, type Store } from "../store/store.ts";
import { type Content, html, type Html, userText } from "./html.ts";
import { languageLinks, page } from "./layout.ts";
import { isOwnForm, languageOf, pageAfterSignIn, queryOf } from "./request.ts";
import { type Refusals, respond, seeOther } from "./responses.ts";
import { cookieOf, isSame, type Sessions } from "./sessions.ts";
import { TRANSLATIONS } from "./translations.ts";

const MINUTE_MS = 60_000;
const WRONG_KEYS_PER_MINUTE = 10;

/** The cookie with a random value that identifies the browser in which a link was opened. */
const NONCE = "nmservis-link";

/** Keeps a link out of `Referer`. Unlike with "no-referrer", browsers send the form's origin. */
const LINK_HEADERS = { "referrer-policy": "strict-origin" };

/** How long a link is valid. */
export const LINK_MS = 15 * 60_000;

/** The clocks of the owner's machine and of the database server may differ by this. */
const CLOCK_SKEW_MS = 60_000;

interface SignInDependencies extends Needs<
  "store" | "log" | "now" | "randomId",
  "dispatchers" | "publicUrl"
> {
  readonly sessions: Sessions;
  readonly refusals: Refusals;
}

/** Creates the page for signing in with a key or a link, and its form handler. */
export function createSignIn(dependencies: SignInDependencies) {
  const { store, log, now, randomId, config, sessions, refusals } = dependencies;
  const { dispatchers, publicUrl } = config;
  const links = createSignInLinks(dispatchers, store, now);
  const wrongKeys = createRateLimit({ limit: WRONG_KEYS_PER_MINUTE, windowMs: MINUTE_MS, now });
  const secureUrl = publicUrl?.startsWith("https:") ? new URL(publicUrl) : undefined;
  const nonceAttributes = `Path=/board/sign-in; HttpOnly; SameSite=Lax${secureUrl ? "; Secure" : ""}`;

  async function showSignIn(request: Request): Promise<Response> {
    const query = queryOf(request);
    const to = pageAfterSignIn(query.get("to"));
    const link = query.get("link");
    if (link !== null) return showLink(request, link);
    const isElsewhere = secureUrl && request.headers.get("host") !== secureUrl.host;
    return showKeyForm(request, to, 200, isElsewhere && signInAt(request, to));
  }

  /**
   * Does not use the link up: messengers open links for a preview. The cookie lets the browser
   * repeat the sign-in.
   */
  async function showLink(request: Request, link: string): Promise<Response> {
    const texts = TRANSLATIONS[languageOf(request)];
    const owner = await links.ownerOf(link);
    const nonce = nonceOf(request);
    if (owner === undefined || (await links.isUsedElsewhere(link, nonce))) {
      return showKeyForm(request, "/board", 403, texts.deadLink);
    }
    const content = html`<input type="hidden" name="link" value="${link}" />
      <button class="primary">${texts.signInAs(userText(owner.name))}</button>
      <a class="quiet" href="/board/sign-in">${texts.signInWithKey}</a>`;
    return respond(signInPage(request, `/board/sign-in?link=${link}`, content), 200, {
      ...LINK_HEADERS,
      // An existing nonce is kept: the browser may already have used the link.
      "set-cookie": `${NONCE}=${nonce ?? randomId()}; Max-Age=${LINK_MS / 1000}; ${nonceAttributes}`,
    });
  }

  async function signIn(request: Request, requestId: string): Promise<Response> {
    if (!isOwnForm(request)) return refusals.refuse(request, "foreign_form", 403);
    const form = await readForm(request);
    if (form === undefined) return refusals.refuse(request, "invalid_form", 400);
    const to = pageAfterSignIn(form.get("to"));
    if (dropsCookies(request)) return showKeyForm(request, to, 403, signInAt(request, to));
    const link = form.get("link");
    const dispatcher =
      link === null ? sessions.ownerOf(form.get("key")?.trim() ?? "") : await links.ownerOf(link);
    // Without the cookie, each request counts as a different browser.
    const isAccepted =
      dispatcher !== undefined &&
      (link === null || (await links.use(link, nonceOf(request) ?? randomId())));
    if (isAccepted) return seeOther(to, sessions.begin(dispatcher, now()));
    const texts = TRANSLATIONS[languageOf(request)];
    // A genuine link that is used again is no attempt to guess.
    if (dispatcher !== undefined) return showKeyForm(request, to, 403, texts.deadLink);
    if (!wrongKeys.take("all")) {
      const retryAfter = secondsUntil(wrongKeys.renewsAt("all"), now());
      return showKeyForm(request, to, 429, texts.tooManyKeys, { "retry-after": retryAfter });
    }
    const what = link === null ? "key" : "link";
    log.warn(`Refused a sign-in to the board: wrong ${what} (request ${requestId}).`);
    return showKeyForm(request, to, 403, link === null ? texts.wrongKey : texts.deadLink);
  }

  /** Returns whether the browser would drop the `Secure` session cookie, which prevents sign-in. */
  function dropsCookies({ headers }: Request): boolean {
    const origin = URL.parse(headers.get("origin") ?? "");
    if (secureUrl === undefined || origin?.protocol !== "http:") return false;
    // On these hosts, browsers accept `Secure` cookies without TLS.
    return !LOOPBACK.test(origin.hostname) && !origin.hostname.endsWith(".localhost");
  }

  function signInAt(request: Request, to: string): Content {
    const texts = TRANSLATIONS[languageOf(request)];
    return texts.signInAt(html`<a href="${secureUrl?.origin}${to}">${secureUrl?.origin}</a>`);
  }

  return { showSignIn, signIn };
}

function nonceOf({ headers }: Request): string | undefined {
  const nonce = cookieOf(headers.get("cookie"), NONCE);
  return nonce !== undefined && /^[\w-]{36}$/.test(nonce) ? nonce : undefined;
}

/** Returns the page that asks for the key. */
function showKeyForm(
  request: Request,
  to: string,
  status: number,
  alert: Content,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const texts = TRANSLATIONS[languageOf(request)];
  const content = html`<p role="alert" id="reason">${alert}</p>
    <input type="hidden" name="to" value="${to}" />
    <div class="field">
      <label for="key">${texts.key}</label>
      <div class="key">
        <input
          type="password"
          name="key"
          id="key"
          required
          autofocus
          aria-describedby="reason"
          autocomplete="current-password"
          autocapitalize="none"
          spellcheck="false"
        />
        <button type="button" id="show-key" aria-pressed="false" hidden>${texts.showKey}</button>
      </div>
    </div>
    <button class="primary">${texts.signIn}</button>
    <p class="quiet">${texts.linkHint}</p>`;
  const here = `/board/sign-in?to=${encodeURIComponent(to)}`;
  return respond(signInPage(request, here, content), status, headers);
}

function signInPage(request: Request, here: string, content: Html): string {
  const language = languageOf(request);
  const texts = TRANSLATIONS[language];
  const form = html`<form method="post" action="/board/sign-in" class="panel sign-in">
    <h1><img src="/board/icon.svg" alt="" width="64" height="64" />NoMus</h1>
    ${content} ${languageLinks(here, language)}
  </form>`;
  const options = { title: texts.signIn, path: "/board/sign-in", viewer: undefined, language };
  return page({ ...options, content: form });
}

/** Returns the path of a link that signs the dispatcher in once, within `LINK_MS`. */
export async function createSignInLink(dispatcher: Dispatcher, now: number): Promise<string> {
  const claim = `${Buffer.from(dispatcher.name).toString("base64url")}.${now + LINK_MS}`;
  return `/board/sign-in?link=${claim}.${hmac(await signingKeyOf(dispatcher), claim, "base64url")}`;
}

interface SignInLinks {
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

/** Without the signature, which could be followed by anything that `ownerOf` ignores. */
function claimOf(link: string): string {
  return link.split(".", 2).join(".");
}

/** A leaked backup must not contain a valid nonce. */
function browserOf(nonce: string): string {
  return digest(nonce).toHex();
}

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
