import { acceptsGzip, compress } from "../http/static-file.ts";
import { type Content, html } from "./html.ts";
import { page, type PageOptions, type Viewer } from "./layout.ts";
import { type Language, TRANSLATIONS } from "./translations.ts";

/** Shorter pages fit into one packet. */
const MIN_COMPRESSED_BYTES = 1024;

const PAGE_HEADERS = {
  "content-type": "text/html;charset=utf-8",
  "cache-control": "no-store",
  // With "no-referrer" browsers send `Origin: null` with forms, so `isOwnForm` would fail.
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

/** Returns the page for an unknown order. */
export function notFound(viewer: Viewer): Response {
  const text = viewer.texts.notFound;
  return message(viewer, { status: 404, code: "order_not_found", title: "404", text });
}

export interface Message {
  readonly status: number;
  /** Machine-readable reason. */
  readonly code: string;
  readonly title: string;
  readonly text: Content;
  /** A form or link to try again. */
  readonly retry?: Content;
  readonly orderId?: number;
}

/** Returns a page with the reason for a failure and a link back; no header without a viewer. */
export function message(
  reader: Viewer | Language,
  { status, code, title, text, retry, orderId }: Message,
): Response {
  const viewer = typeof reader === "string" ? undefined : reader;
  const language = typeof reader === "string" ? reader : reader.language;
  const texts = TRANSLATIONS[language];
  const content = html`<div class="panel message" role="alert" data-code="${code}">
    <h1>${title}</h1>
    <p>${text}</p>
    ${retry}
    ${orderId && html`<a class="primary" href="/board/orders/${orderId}">${texts.order} № ${orderId}</a>`}
    <a class="plain" href="/board">${texts.toBoard}</a>
  </div>`;
  // Not live: a refresh would GET the form's address and lose the input.
  return respond(page({ title, path: "", viewer, language, content }), status);
}

/** Returns a page for a signed-in dispatcher. */
export function answer(
  options: Omit<PageOptions, "language" | "viewer"> & { readonly viewer: Viewer },
  status = 200,
): Response {
  return respond(page({ ...options, language: options.viewer.language }), status);
}

/** Returns a page that is not cached and loads nothing from other hosts. */
export function respond(
  markup: string,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(markup, { status, headers: { ...PAGE_HEADERS, ...headers } });
}

/** Compresses a page if the client accepts gzip. */
export async function compressed(request: Request, response: Response): Promise<Response> {
  const type = response.headers.get("content-type");
  if (type !== PAGE_HEADERS["content-type"]) return response;
  response.headers.set("vary", "Accept-Encoding");
  if (!acceptsGzip(request.headers.get("accept-encoding"))) return response;
  const { status, headers } = response;
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (bytes.length < MIN_COMPRESSED_BYTES) return new Response(bytes, { status, headers });
  headers.set("content-encoding", "gzip");
  return new Response(await compress(bytes), { status, headers });
}

/** Redirects to a GET (RFC 9110, section 15.4.4). */
export function seeOther(location: string, cookie?: string): Response {
  return new Response(null, {
    status: 303,
    headers: { location, "cache-control": "no-store", ...(cookie && { "set-cookie": cookie }) },
  });
}
