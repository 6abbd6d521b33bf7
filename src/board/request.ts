import { cookieOf } from "./sessions.ts";
import { type Language, LANGUAGES } from "./translations.ts";

/** Allowed redirect targets. */
const PAGE = /^\/board(\/(days|search|sign-in|orders\/\d+))?\/?$/;

const SIGN_IN = /^\/board\/sign-in/;

/** Replaces the host: `URL` rejects some `Host` headers. */
const BASE = "http://localhost";

/** Returns the path and query of a request. */
export function targetOf(request: Request): URL {
  return new URL(BASE + pathAndQueryOf(request));
}

function pathAndQueryOf({ url }: Request): string {
  // Bun leaves the origin out if the Host header is empty or malformed.
  if (url.startsWith("/")) return url;
  const start = url.indexOf("/", "https://".length);
  return start === -1 ? "/" : url.slice(start);
}

/** Returns whether the request is for the board, or for a mistyped address of it. */
export function isBoardPath(request: Request): boolean {
  return /^\/+board([/?]|$)/i.test(pathAndQueryOf(request));
}

/** Returns the query of a request. */
export function queryOf(request: Request): URLSearchParams {
  return targetOf(request).searchParams;
}

/** Returns the page to return to: the requested one, or the one with the submitted form. */
export function hereOf(request: Request): string {
  const { pathname, search } = targetOf(request);
  if (request.method === "GET" || request.method === "HEAD") return ownPage(pathname + search);
  return /^\/board\/orders\/\d+/.exec(pathname)?.[0] ?? "/board";
}

/** Returns the path and query of an allowed redirect target, and `/board` for anything else. */
export function ownPage(to: string | null): string {
  const url = to === null ? null : URL.parse(to, BASE);
  return url?.origin === BASE && PAGE.test(url.pathname) ? url.pathname + url.search : "/board";
}

/** Like `ownPage`, but never returns the sign-in page, which would redirect to itself. */
export function pageAfterSignIn(to: string | null): string {
  const page = ownPage(to);
  return SIGN_IN.test(page) ? "/board" : page;
}

/** Returns the address with its `done` parameter, the order of the last step, set or removed. */
export function withDone(to: string, orderId: number | undefined): string {
  const { pathname, searchParams } = new URL(to, BASE);
  searchParams.delete("done");
  if (orderId !== undefined) searchParams.set("done", String(orderId));
  return searchParams.size > 0 ? `${pathname}?${searchParams}` : pathname;
}

/** Returns the viewer's language: the chosen one, else the one that the browser prefers. */
export function languageOf({ headers }: Request): Language {
  const chosen = cookieOf(headers.get("cookie"), "lang");
  return (
    LANGUAGES.find((one) => one === chosen) ??
    preferredLanguage(headers.get("accept-language") ?? "") ??
    LANGUAGES[0]
  );
}

/** Returns the best language of an `Accept-Language` header (RFC 9110, section 12.5.4). */
function preferredLanguage(accepted: string): Language | undefined {
  const ranges = accepted.split(",").flatMap((range) => {
    const [, tag, q = "1"] =
      /^\s*([a-z]+)(?:-[\w-]*)?\s*(?:;\s*q=([\d.]+)\s*)?$/i.exec(range) ?? [];
    const language = LANGUAGES.find((one) => one === tag?.toLowerCase());
    return language !== undefined && Number(q) > 0 ? [{ language, q: Number(q) }] : [];
  });
  // Sorting is stable: of equal ones, the first wins.
  return ranges.toSorted((a, b) => b.q - a.q)[0]?.language;
}

/** CSRF: checks whether the board sent the form. Pages can't change these headers. */
export function isOwnForm({ headers }: Request): boolean {
  const site = headers.get("sec-fetch-site");
  if (site !== null) return site === "same-origin";
  // Sandboxed pages send `Origin: null`.
  const origin = URL.parse(headers.get("origin") ?? "");
  if (origin === null || !/^https?:$/.test(origin.protocol)) return false;
  // Parsed with the origin's scheme, because only one side may include the default port.
  return origin.host === URL.parse(`${origin.protocol}//${headers.get("host")}`)?.host;
}
