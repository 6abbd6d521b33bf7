import { cookieOf } from "./sessions.ts";
import { type Language, LANGUAGES } from "./translations.ts";

/** Pages that answer GET, which a link or a redirect may lead to. */
const PAGE = /^\/board(\/(days|search|sign-in|orders\/\d+))?\/?$/;

const SIGN_IN = /^\/board\/sign-in/;

/** Stands for the host, which the `Host` header may spell in a way that `URL` refuses. */
const BASE = "http://localhost";

/** The path and query of a request. */
export function targetOf(request: Request): URL {
  return new URL(BASE + pathAndQueryOf(request));
}

function pathAndQueryOf({ url }: Request): string {
  const start = url.indexOf("/", "https://".length);
  return start === -1 ? "/" : url.slice(start);
}

/** Whether the request is for the board. */
export function isBoardPath(request: Request): boolean {
  return /^\/board([/?]|$)/.test(pathAndQueryOf(request));
}

/** The query of a request. */
export function queryOf(request: Request): URLSearchParams {
  return targetOf(request).searchParams;
}

/** The page to come back to: the one that was read, or the one whose form was sent. */
export function hereOf(request: Request): string {
  const { pathname, search } = targetOf(request);
  if (request.method === "GET" || request.method === "HEAD") return ownPage(pathname + search);
  return /^\/board\/orders\/\d+/.exec(pathname)?.[0] ?? "/board";
}

/** The address of a page of ours, with its query; `/board` for any other text. */
export function ownPage(to: string | null): string {
  const url = to === null ? null : URL.parse(to, BASE);
  return url?.origin === BASE && PAGE.test(url.pathname) ? url.pathname + url.search : "/board";
}

/** The same after the sign-in, which does not lead back to itself. */
export function pageAfterSignIn(to: string | null): string {
  const page = ownPage(to);
  return SIGN_IN.test(page) ? "/board" : page;
}

/** The language that the viewer has chosen, or the first. */
export function languageOf({ headers }: Request): Language {
  const chosen = cookieOf(headers.get("cookie"), "lang");
  return LANGUAGES.find((one) => one === chosen) ?? LANGUAGES[0];
}

/** Whether one of our own pages has sent the form. Browsers set these headers, and pages can't change them. */
export function isOwnForm({ headers }: Request): boolean {
  const site = headers.get("sec-fetch-site");
  if (site !== null) return site === "same-origin";
  // `Origin` is `null` for a page that hides where it comes from; ours don't.
  const origin = URL.parse(headers.get("origin") ?? "");
  if (origin === null || !/^https?:$/.test(origin.protocol)) return false;
  // Parsed with the origin's scheme: one side may name its default port.
  return origin.host === URL.parse(`${origin.protocol}//${headers.get("host")}`)?.host;
}
