import { hasVisibleCharacter, withoutBidiControls } from "../lib/format.ts";

/**
 * Markup that templates insert without escaping. A class, so that no object from JSON passes as one.
 */
export class Html {
  constructor(readonly markup: string) {}
}

/** A value in a template; `false`, `null` and `undefined` are left out. */
export type Content = string | number | false | null | undefined | Html | readonly Content[];

/** Builds markup from a template, and escapes all values that are not markup. */
export function html(strings: TemplateStringsArray, ...contents: readonly Content[]): Html {
  return new Html(
    partsOf(strings)
      .map((part, at) => part + markupOf(contents[at]))
      .join(""),
  );
}

const parts = new WeakMap<TemplateStringsArray, readonly string[]>();

/** Removes the indentation, a third of a page. */
function partsOf(strings: TemplateStringsArray): readonly string[] {
  const known = parts.get(strings) ?? strings.map((part) => part.replace(/\n\s+/g, "\n"));
  parts.set(strings, known);
  return known;
}

function markupOf(content: Content): string {
  if (content === false || content === null || content === undefined) return "";
  if (content instanceof Html) return content.markup;
  if (typeof content === "object") return content.map(markupOf).join("");
  return Bun.escapeHTML(content);
}

/**
 * Isolates user text: it can't reverse adjacent text nor, thanks to `board.css`, paint over it.
 * Returns null if nothing in it is visible. Use it for all user text on the board.
 */
export function userText(text: string | null | undefined): Html | null {
  if (text === null || text === undefined || !hasVisibleCharacter(text)) return null;
  return html`<bdi>${withoutBidiControls(text)}</bdi>`;
}

function icon(path: string): Html {
  return new Html(
    `<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="${path}"/></svg>`,
  );
}

export const BELL = icon("M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4");
export const MENU = icon("M4 7h16M4 12h16M4 17h16");
export const SEARCH = icon("M10.5 17a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13zM15.5 15.5 20 20");
export const PHONE = icon(
  "M5 4h4l1.5 5-2.3 1.6a12 12 0 0 0 5.2 5.2L15 13.5l5 1.5v4a1.5 1.5 0 0 1-1.6 1.5A16 16 0 0 1 3.5 5.6 1.5 1.5 0 0 1 5 4z",
);
export const PIN = icon(
  "M12 21s-6.5-6-6.5-11a6.5 6.5 0 1 1 13 0C18.5 15 12 21 12 21zM12 12.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z",
);
export const CLOSE = icon("M6 6l12 12M18 6 6 18");
