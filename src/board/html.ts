import { hasVisibleCharacter, withoutBidiControls } from "../lib/format.ts";

/** Markup, which is not escaped. */
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
