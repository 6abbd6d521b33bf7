import { hasVisibleCharacter, withoutBidiControls } from "../lib/format.ts";

/** Markup that is written as it stands. */
export class Html {
  constructor(readonly markup: string) {}
}

/** What may stand in a template; `false`, `null` and `undefined` are nothing. */
export type Content = string | number | false | null | undefined | Html | readonly Content[];

/** Markup from a template: what stands in it is text, unless it is markup itself. */
export function html(strings: TemplateStringsArray, ...contents: readonly Content[]): Html {
  return new Html(
    partsOf(strings)
      .map((part, at) => part + markupOf(contents[at]))
      .join(""),
  );
}

const parts = new WeakMap<TemplateStringsArray, readonly string[]>();

/** The template without its indentation, which is a third of a page. */
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
 * A text that a person has written, isolated from its neighbours: it neither changes their direction nor,
 * by `board.css`, paints over them. Null if nothing in it is visible. Every such text goes through here.
 */
export function userText(text: string | null | undefined): Html | null {
  if (text === null || text === undefined || !hasVisibleCharacter(text)) return null;
  return html`<bdi>${withoutBidiControls(text)}</bdi>`;
}
