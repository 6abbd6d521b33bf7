/** Tashkent's offset from UTC, all year. */
export const ZONE_MS = 5 * 3_600_000;

const TIYIN_PER_SUM = 100;

/**
 * Formats tiyin as sum for programs and logs: `30000`, or `150.50` if there is a fraction. Exact up
 * to 2^53 - 1.
 */
export function inSum(tiyin: number): string {
  const fraction = tiyin % TIYIN_PER_SUM;
  const sum = String((tiyin - fraction) / TIYIN_PER_SUM);
  return fraction === 0 ? sum : `${sum}.${String(fraction).padStart(2, "0")}`;
}

/**
 * Formats tiyin as sum for people: `30 000` or `150,50`, with non-breaking spaces. Exact up to 2^53
 * - 1.
 */
export function money(tiyin: number): string {
  const [sum = "", fraction] = inSum(tiyin).split(".");
  const grouped = sum.replace(/\B(?=(\d{3})+$)/g, "\u00a0");
  return fraction === undefined ? grouped : `${grouped},${fraction}`;
}

/** Formats a time in ms as `04:35`, in Tashkent. */
export function clockTime(instant: number): string {
  return new Date(instant + ZONE_MS).toISOString().slice(11, 16);
}

/** Embeddings, overrides and isolates of the bidirectional algorithm. They affect adjacent text. */
const BIDI_CONTROLS = /[\u202a-\u202e\u2066-\u2069]/g;

/** Removes the controls that could reorder adjacent text. Old rows may contain them. */
export function withoutBidiControls(text: string): string {
  return text.replace(BIDI_CONTROLS, "");
}

/** Hebrew, Arabic and other right-to-left scripts. */
const RIGHT_TO_LEFT =
  /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * Isolates right-to-left text in a plain text line, so that the amount next to it stays in place.
 */
export function isolated(text: string): string {
  const plain = withoutBidiControls(text);
  return RIGHT_TO_LEFT.test(plain) ? `\u2068${plain}\u2069` : plain;
}

// Unicode has no property for the last four: Braille's empty cell, a musical symbol without a
// shape, and two blank hieroglyphs.
const VISIBLE =
  /[^\p{White_Space}\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{M}\u2800\u{1d159}\u{13441}\u{13442}]/u;

/**
 * Returns whether the text contains a character that is visible on its own: not a space, mark or
 * format control.
 */
export function hasVisibleCharacter(text: string): boolean {
  return VISIBLE.test(text);
}

type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { readonly other: string };

/**
 * Returns a function that picks the form for a count: `one`, `few` and so on, by the CLDR rules.
 */
export function plural(language: string, forms: Forms): (count: number) => string {
  const rules = new Intl.PluralRules(language);
  return (count) => forms[rules.select(count)] ?? forms.other;
}
