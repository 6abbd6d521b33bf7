import { BELL, type Content, html, type Html, MENU, SEARCH, userText } from "./html.ts";
import { type Language, LANGUAGES, type Translations, TRANSLATIONS } from "./translations.ts";

/** The dispatcher who requested a page. */
export interface Viewer {
  readonly name: string;
  readonly language: Language;
  readonly texts: Translations;
  /** Whether there is a session to end. */
  readonly canSignOut: boolean;
  /** Now, in ms. */
  readonly now: number;
  /** Path and query of the page, to return to after a form or a change of language. */
  readonly here: string;
}

export interface PageOptions {
  readonly title: string;
  readonly path: string;
  /** Undefined before the sign-in. */
  readonly viewer: Viewer | undefined;
  readonly language: Language;
  readonly query?: string;
  /** The number of new orders, on the page that counts them. */
  readonly newOrders?: number;
  readonly content: Content;
}

/** Renders a complete page of the board. */
export function page(options: PageOptions): string {
  const { title, path, viewer, language, query = "", newOrders, content } = options;
  const texts = TRANSLATIONS[language];
  const isLive = path === "/board" || path.startsWith("/board/orders/");
  return html`<!doctype html>
    <html lang="${language}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${newOrders ? `(${newOrders}) ` : ""}${title} · NoMus</title>
        <meta name="theme-color" content="#ffffff" media="(prefers-color-scheme: light)" />
        <meta name="theme-color" content="#232320" media="(prefers-color-scheme: dark)" />
        <link rel="icon" href="/board/icon.svg" />
        <link rel="apple-touch-icon" href="/board/icon-maskable.png" />
        <link rel="manifest" href="/board/manifest.json" />
        <link rel="stylesheet" href="/board/board.css" />
        ${path === "/board/sign-in" && html`<script src="/board/sign-in.js" defer></script>`}
        ${
          // Only the board refreshes itself without scripts: an order's page has forms to fill in.
          viewer &&
          html`${path === "/board" && html`<noscript><meta http-equiv="refresh" content="30" /></noscript>`}
            <script src="/board/idiomorph.js" defer></script>
            <script src="/board/board.js" defer></script>`
        }
      </head>
      <body
        ${isLive && html`data-live`}
        ${newOrders !== undefined && html`data-new="${newOrders}"`}
        data-not-saved="${texts.notSaved}"
        data-no-answer="${texts.noAnswer}"
      >
        <a class="skip" href="#main">${texts.skip}</a>
        ${viewer && header(viewer, path, query)}
        <main id="main" data-viewer="${viewer && `${viewer.name} ${language}`}">${content}</main>
        ${
          viewer &&
          html`<footer class="keys">${texts.keys}</footer>
            ${isLive && overlays(texts)}`
        }
      </body>
    </html>`.markup;
}

/**
 * Renders the parts that the script shows: the pill for new orders, and the bar for blocked sound.
 */
function overlays(texts: Translations): Html {
  return html`<button
      type="button"
      class="pill"
      id="pill"
      data-text="${texts.newBelow}"
      hidden
    ></button>
    <div class="sound-bar" id="sound-bar" role="status" hidden>
      <span>${texts.soundBlocked}</span>
      <button type="button" class="primary">${texts.turnSoundOn}</button>
    </div>`;
}

function header(viewer: Viewer, path: string, query: string): Html {
  const { name, texts, canSignOut } = viewer;
  const isSearch = path === "/board/search";
  const link = (to: string, label: string) =>
    html`<a href="${to}" ${path === to ? html`aria-current="page"` : ""}>${label}</a>`;
  const links = html`${link("/board", texts.board)}${link("/board/days", texts.days)}`;
  return html`<header>
    <a class="brand" href="/board" aria-label="NoMus"
      ><span class="logo" aria-hidden="true">N</span></a
    >
    <nav aria-label="NoMus">${links}</nav>
    <form class="search ${isSearch && "open"}" action="/board/search" role="search">
      <input
        name="q"
        type="search"
        dir="auto"
        value="${query}"
        placeholder="${texts.search}"
        aria-label="${texts.search}"
        ${isSearch && html`autofocus`}
      />
      <button class="visually-hidden">${texts.find}</button>
    </form>
    <span class="who">${userText(name)}</span>
    <span
      class="status"
      id="status"
      data-connected="${texts.connected}"
      data-connecting="${texts.connecting}"
      data-offline="${texts.offline}"
      role="status"
    ></span>
    <a class="tool to-search" href="/board/search" aria-label="${texts.find}">${SEARCH}</a>
    <button
      type="button"
      class="tool bell"
      id="sound"
      hidden
      aria-pressed="false"
      aria-label="${texts.sound}"
      title="${texts.sound}"
    >
      ${BELL}
    </button>
    <details class="menu" id="menu">
      <summary class="tool" aria-label="${texts.menu}">${MENU}</summary>
      <div class="panel">
        <div class="links">${links}</div>
        ${languageLinks(viewer.here, viewer.language)}
        ${canSignOut && html`<form method="post" action="/board/sign-out"><button class="plain">${texts.signOut}</button></form>`}
      </div>
    </details>
  </header>`;
}

/** Renders the links that change the language and return to this page. */
export function languageLinks(here: string, language: Language): Html {
  return html`<div class="languages" role="group" aria-label="${TRANSLATIONS[language].languages}">
    ${LANGUAGES.map(
      (one) =>
        html`<a
          href="/board/language/${one}?to=${encodeURIComponent(here)}"
          hreflang="${one}"
          ${one === language ? html`aria-current="true"` : ""}
          >${one.toUpperCase()}</a
        >`,
    )}
  </div>`;
}
