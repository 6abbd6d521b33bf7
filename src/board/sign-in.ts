import { readForm } from "../http/request-body.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../ports.ts";
import { createRateLimit } from "../lib/rate-limit.ts";
import { respond, seeOther } from "./responses.ts";
import { type Content, html } from "./html.ts";
import { page } from "./layout.ts";
import type { Refusals } from "./refusals.ts";
import { isOwnForm, languageOf, pageAfterSignIn, queryOf } from "./request.ts";
import type { Sessions } from "./sessions.ts";
import { LANGUAGES, TRANSLATIONS } from "./translations.ts";

const MINUTE_MS = 60_000;
const WRONG_KEYS_PER_MINUTE = 10;

/** Hosts on which browsers accept `Secure` cookies without TLS. */
const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d{1,3}){3}|\[::1\])$/;

export interface SignInDependencies {
  readonly sessions: Sessions;
  readonly refusals: Refusals;
  readonly log: Log;
  readonly now: Clock;
  readonly publicUrl: string | null;
}

/** Creates the sign-in page and its form handler. */
export function createSignIn({ sessions, refusals, log, now, publicUrl }: SignInDependencies) {
  const wrongKeys = createRateLimit({ limit: WRONG_KEYS_PER_MINUTE, windowMs: MINUTE_MS, now });
  const secureUrl = publicUrl?.startsWith("https:") ? new URL(publicUrl) : undefined;

  function showSignIn(request: Request): Response {
    const to = pageAfterSignIn(queryOf(request).get("to"));
    const isElsewhere = secureUrl && request.headers.get("host") !== secureUrl.host;
    return show(request, to, 200, isElsewhere && signInAt(request, to));
  }

  async function signIn(request: Request, requestId: string): Promise<Response> {
    if (!isOwnForm(request)) return refusals.refuse(request, "foreign_form", 403);
    const form = await readForm(request);
    if (form === undefined) return refusals.refuse(request, "invalid_form", 400);
    const to = pageAfterSignIn(form.get("to"));
    if (dropsCookies(request)) return show(request, to, 403, signInAt(request, to));
    const dispatcher = sessions.ownerOf(form.get("key") ?? "");
    if (dispatcher !== undefined) return seeOther(to, sessions.begin(dispatcher, now()));
    const texts = TRANSLATIONS[languageOf(request)];
    if (!wrongKeys.take("all")) {
      const leftS = Math.max(1, Math.ceil((wrongKeys.renewsAt("all") - now()) / 1000));
      return show(request, to, 429, texts.tooManyKeys, { "retry-after": String(leftS) });
    }
    log.warn(`Refused a sign-in to the board: wrong key (request ${requestId}).`);
    return show(request, to, 403, texts.wrongKey);
  }

  /** Returns whether the browser would drop the `Secure` session cookie, which prevents sign-in. */
  function dropsCookies({ headers }: Request): boolean {
    const origin = URL.parse(headers.get("origin") ?? "");
    return (
      secureUrl !== undefined && origin?.protocol === "http:" && !LOOPBACK.test(origin.hostname)
    );
  }

  function signInAt(request: Request, to: string): Content {
    const texts = TRANSLATIONS[languageOf(request)];
    return texts.signInAt(html`<a href="${secureUrl?.origin}${to}">${secureUrl?.origin}</a>`);
  }

  return { showSignIn, signIn };
}

function show(
  request: Request,
  to: string,
  status: number,
  alert: Content,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const language = languageOf(request);
  const texts = TRANSLATIONS[language];
  const here = `/board/sign-in?to=${encodeURIComponent(to)}`;
  const content = html`<form method="post" action="/board/sign-in" class="panel sign-in">
    <h1>NoMus</h1>
    <p role="alert">${alert}</p>
    <input type="hidden" name="to" value="${to}" />
    <label class="field"
      >${texts.key}<input
        type="password"
        name="key"
        required
        autofocus
        autocomplete="current-password"
    /></label>
    <button class="primary">${texts.signIn}</button>
    <p class="languages">
      ${LANGUAGES.map((one) => html`<a href="/board/language/${one}?to=${encodeURIComponent(here)}">${one.toUpperCase()}</a> `)}
    </p>
  </form>`;
  const options = { title: texts.signIn, path: "/board/sign-in", viewer: undefined, language };
  return respond(page({ ...options, content }), status, headers);
}
