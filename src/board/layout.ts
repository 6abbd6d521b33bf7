import { type Content, html, type Html, userText } from "./html.ts";
import { type Language, LANGUAGES, type Translations, TRANSLATIONS } from "./translations.ts";

/** What a page knows of who looks at it. */
export interface Viewer {
  readonly name: string;
  readonly language: Language;
  readonly words: Translations;
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
  /** The number of orders in the stage `new`, on the page that counts them. */
  readonly newOrders?: number;
  readonly content: Content;
}

/** A whole page of the board. */
export function page(options: PageOptions): string {
  const { title, path, viewer, language, query = "", newOrders, content } = options;
  const words = TRANSLATIONS[language];
  const isLive = path === "/board" || path.startsWith("/board/orders/");
  return html`<!doctype html>
    <html lang="${language}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${newOrders ? `(${newOrders}) ` : ""}${title} · NoMus</title>
        <link rel="icon" href="/board/icon.svg" />
        <link rel="stylesheet" href="/board/board.css" />
        ${
          viewer &&
          html`${isLive && html`<noscript><meta http-equiv="refresh" content="30" /></noscript>`}
            <script src="/board/idiomorph.js" defer></script>
            <script src="/board/board.js" defer></script>`
        }
      </head>
      <body
        ${isLive && html`data-live`}
        ${newOrders !== undefined && html`data-new="${newOrders}"`}
        data-not-saved="${words.notSaved}"
        data-no-answer="${words.noAnswer}"
      >
        <a class="skip" href="#main">${words.skip}</a>
        ${viewer && header(viewer, path, query)}
        <main id="main" data-viewer="${viewer && `${viewer.name} ${language}`}">${content}</main>
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
      data-connected="${words.connected}"
      data-connecting="${words.connecting}"
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
