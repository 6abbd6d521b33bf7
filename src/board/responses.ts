import { type ErrorCode, PROBLEMS } from "../http/problems.ts";
import { FORMAT } from "../http/schemas.ts";
import { acceptsGzip, compress } from "../http/static-file.ts";
import { type Content, html, type Html } from "./html.ts";
import { page, type PageOptions, type Viewer } from "./layout.ts";
import { hereOf, languageOf, targetOf } from "./request.ts";
import {
  isRefusal,
  type Language,
  type RefusalCode,
  type Translations,
  TRANSLATIONS,
} from "./translations.ts";

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
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; "),
};

/** Returns the page for an unknown order. */
export function notFound(viewer: Viewer): Response {
  const { notDone: title, notFound: text } = viewer.texts;
  return message(viewer, { status: 404, code: "order_not_found", title, text });
}

interface Message {
  readonly status: number;
  /** Machine-readable reason. */
  readonly code: string;
  readonly title: string;
  readonly text: Content;
  /** A form or link to try again. */
  readonly retry?: Content;
  readonly orderId?: number;
}

/**
 * Returns a page with the reason for a failure and a link back. Without a viewer, the page has no
 * header.
 */
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
): Response {
  return respond(page({ ...options, language: options.viewer.language }), 200);
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

/** Maximum length of a note or reference. */
export const MAX_NOTE = 300;

const FORMAT_CONTROLS = new RegExp(`[${FORMAT}]`, "g");

/** Refusals after which the same request may succeed. */
const CAN_BE_RETRIED: readonly RefusalCode[] = ["internal_error", "unavailable", "invalid_text"];

export interface Refusals {
  /** Remembers the fields of a form, to offer them again if the request fails. */
  keep(request: Request, form: URLSearchParams): void;
  /** Returns a page with the reason, and a way to retry the same input if that may succeed. */
  refuse(request: Request, code: RefusalCode, status: number): Response;
  /** Like `refuse`, with an error code of the HTTP layer. */
  answer(request: Request, code: ErrorCode): Response;
}

/** Creates the board's error pages, in the viewer's language. */
export function createRefusals(viewerOf: (request: Request) => Viewer | undefined): Refusals {
  const forms = new WeakMap<Request, URLSearchParams>();

  function refuse(request: Request, code: RefusalCode, status: number): Response {
    const language = languageOf(request);
    const texts = TRANSLATIONS[language];
    const retry = CAN_BE_RETRIED.includes(code) && retryView(request, texts);
    const fault = { status, code, title: texts.notDone, text: texts.refusals[code], retry };
    return message(viewerOf(request) ?? language, fault);
  }

  function retryView(request: Request, texts: Translations): Html | undefined {
    const form = forms.get(request);
    if (form !== undefined) return retryForm(targetOf(request).pathname, form, texts);
    if (request.method !== "GET") return undefined;
    return html`<a class="primary" href="${hereOf(request)}">${texts.tryAgain}</a>`;
  }

  return {
    keep: (request, form) => void forms.set(request, form),
    refuse,
    answer(request, code) {
      return refuse(request, isRefusal(code) ? code : "internal_error", PROBLEMS[code].status);
    },
  };
}

function retryForm(action: string, form: URLSearchParams, texts: Translations): Html {
  return html`<form method="post" action="${action}" class="retry">
    ${Array.from(form, ([name, value]) => fieldView(name, value, texts))}
    <button class="primary">${texts.tryAgain}</button>
  </form>`;
}

function fieldView(name: string, value: string, texts: Translations): Html {
  // The dispatcher typed only these fields.
  if (name !== "note" && name !== "reference") {
    return html`<input type="hidden" name="${name}" value="${value}" />`;
  }
  // Without forbidden characters that are invisible, so the dispatcher could not delete them.
  const visible = value.replace(FORMAT_CONTROLS, "");
  return html`<label class="field"
    >${texts[name]}<input
      name="${name}"
      dir="auto"
      maxlength="${MAX_NOTE}"
      value="${visible}"
      autocomplete="off"
  /></label>`;
}
