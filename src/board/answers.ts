import { html } from "./html.ts";
import { page, type PageOptions, type Viewer } from "./page.ts";

const PAGE_HEADERS = {
  "content-type": "text/html;charset=utf-8",
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
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
  const fault = { status: 404, code: "order_not_found" };
  return message(viewer, fault, "404", viewer.words.notFound);
}

/** A page that says what was not done, and leads back. */
export function message(
  viewer: Viewer,
  { status, code }: { readonly status: number; readonly code: string },
  title: string,
  text: string,
  orderId?: number,
): Response {
  const { words } = viewer;
  return answer(
    {
      ...{ title, path: "", viewer },
      content: html`<div class="panel message" role="alert" data-code="${code}">
        <h1>${title}</h1>
        <p>${text}</p>
        ${orderId && html`<a class="primary" href="/board/orders/${orderId}">${words.order} № ${orderId}</a>`}
        <a class="plain" href="/board">${words.toBoard}</a>
      </div>`,
    },
    status,
  );
}

/** A page for who has signed in. */
export function answer(
  options: Omit<PageOptions, "language" | "viewer"> & { readonly viewer: Viewer },
  status = 200,
): Response {
  return respond(page({ ...options, language: options.viewer.language }), status);
}

/** A page that nobody keeps, and that loads what is ours alone. */
export function respond(markup: string, status: number): Response {
  return new Response(markup, { status, headers: PAGE_HEADERS });
}

/** Leads on by GET (RFC 9110, section 15.4.4). */
export function seeOther(location: string, cookie?: string): Response {
  return new Response(null, {
    status: 303,
    headers: { location, "cache-control": "no-store", ...(cookie && { "set-cookie": cookie }) },
  });
}
