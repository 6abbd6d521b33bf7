import { type Content, html } from "./html.ts";
import { page, type PageOptions, type Viewer } from "./layout.ts";
import { type Language, TRANSLATIONS } from "./translations.ts";

const PAGE_HEADERS = {
  "content-type": "text/html;charset=utf-8",
  "cache-control": "no-store",
  // With "no-referrer" browsers send `Origin: null` with forms, by which nothing can be told.
  "referrer-policy": "same-origin",
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; "),
};

/** The page of an order that is not there. */
export function notFound(viewer: Viewer): Response {
  const text = viewer.words.notFound;
  return message(viewer, { status: 404, code: "order_not_found", title: "404", text });
}

export interface Message {
  readonly status: number;
  /** The reason for programs. */
  readonly code: string;
  readonly title: string;
  readonly text: Content;
  /** A form or link to try again. */
  readonly retry?: Content;
  readonly orderId?: number;
}

/** A page that says why nothing was done, and links back. Without a viewer it has no header. */
export function message(
  reader: Viewer | Language,
  { status, code, title, text, retry, orderId }: Message,
): Response {
  const viewer = typeof reader === "string" ? undefined : reader;
  const language = typeof reader === "string" ? reader : reader.language;
  const words = TRANSLATIONS[language];
  const content = html`<div class="panel message" role="alert" data-code="${code}">
    <h1>${title}</h1>
    <p>${text}</p>
    ${retry}
    ${orderId && html`<a class="primary" href="/board/orders/${orderId}">${words.order} № ${orderId}</a>`}
    <a class="plain" href="/board">${words.toBoard}</a>
  </div>`;
  // Not live: a reload would ask for the form's address by GET and lose the input.
  return respond(page({ title, path: "", viewer, language, content }), status);
}

/** A page for who has signed in. */
export function answer(
  options: Omit<PageOptions, "language" | "viewer"> & { readonly viewer: Viewer },
  status = 200,
): Response {
  return respond(page({ ...options, language: options.viewer.language }), status);
}

/** A page that nobody keeps, and that loads what is ours alone. */
export function respond(
  markup: string,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(markup, { status, headers: { ...PAGE_HEADERS, ...headers } });
}

/** Leads on by GET (RFC 9110, section 15.4.4). */
export function seeOther(location: string, cookie?: string): Response {
  return new Response(null, {
    status: 303,
    headers: { location, "cache-control": "no-store", ...(cookie && { "set-cookie": cookie }) },
  });
}
