import { type Content, html, type Html, userText } from "./html.ts";
import { type Language, LANGUAGES, type Words, WORDS } from "./words.ts";

/** What a page knows of who looks at it. */
export interface Viewer {
  readonly name: string;
  readonly language: Language;
  readonly words: Words;
  /** Whether there is a session that can be ended. */
  readonly canSignOut: boolean;
  /** Now, in ms. */
  readonly now: number;
  /** The address of the page, to which a change of language leads back. */
  readonly here: string;
}

export interface PageOptions {
  readonly title: string;
  readonly path: string;
  /** Undefined before the sign-in. */
  readonly viewer: Viewer | undefined;
  readonly language: Language;
  readonly query?: string;
  /** Orders that nobody has accepted. */
  readonly newOrders?: number;
  readonly content: Content;
  /** Whether the page keeps itself fresh; true if left out. */
  readonly isLive?: boolean;
}

/** A whole page of the board. */
export function page(options: PageOptions): string {
  const { title, path, viewer, language, query = "", newOrders = 0, content } = options;
  const { isLive = true } = options;
  const words = WORDS[language];
  return html`<!doctype html>
    <html lang="${language}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${newOrders > 0 ? `(${newOrders}) ` : ""}${title} · NoMus</title>
        <link rel="icon" href="/board/icon.svg" />
        <link rel="stylesheet" href="/board/board.css" />
        ${
          isLive &&
          viewer &&
          html`<noscript><meta http-equiv="refresh" content="30" /></noscript>
            <script src="/board/idiomorph.js" defer></script>
            <script src="/board/board.js" defer></script>`
        }
      </head>
      <body data-new="${newOrders}">
        <a class="skip" href="#main">${words.skip}</a>
        ${viewer && header(viewer, path, query)}
        <main id="main">${content}</main>
        ${viewer && html`<footer class="keys">${words.keys}</footer>`}
      </body>
    </html>`.markup;
}

function header(viewer: Viewer, path: string, query: string): Html {
  const { name, words, language, canSignOut, here } = viewer;
  const link = (to: string, label: string) =>
    html`<a href="${to}" ${path === to ? html`aria-current="page"` : ""}>${label}</a>`;
  return html`<header>
    <span class="brand"><span class="logo" aria-hidden="true">N</span>NoMus</span>
    <nav>${link("/board", words.board)}${link("/board/days", words.days)}</nav>
    <form class="search" action="/board/search" role="search">
      <input
        name="q"
        type="search"
        dir="auto"
        value="${query}"
        placeholder="${words.search}"
        aria-label="${words.search}"
      />
      <button class="visually-hidden">${words.find}</button>
    </form>
    <span
      class="status"
      id="status"
      data-online="${words.online}"
      data-offline="${words.offline}"
      role="status"
    ></span>
    <button type="button" class="sound" id="sound" hidden aria-pressed="false">
      ${words.sound}
    </button>
    <span class="languages">
      ${LANGUAGES.map(
        (one) =>
          html`<a
            href="/board/language/${one}?to=${encodeURIComponent(here)}"
            hreflang="${one}"
            ${one === language ? html`aria-current="true"` : ""}
            >${one.toUpperCase()}</a
          >`,
      )}
    </span>
    <span class="who">${userText(name)}</span>
    ${canSignOut && html`<form method="post" action="/board/sign-out"><button class="quiet">${words.signOut}</button></form>`}
  </header>`;
}
