/** Tashkent, all year round (UTC+5). */
export const ZONE_MS = 5 * 3_600_000;

const TIYIN_PER_SUM = 100;

/** Tiyin in sum for programs and logs, exact up to 2^53 - 1: `30000`, or `150.50` if there is a fraction. */
export function inSum(tiyin: number): string {
  const fraction = tiyin % TIYIN_PER_SUM;
  const sum = String((tiyin - fraction) / TIYIN_PER_SUM);
  return fraction === 0 ? sum : `${sum}.${String(fraction).padStart(2, "0")}`;
}

/** Tiyin in sum for people, exact up to 2^53 - 1: `30 000` or `150,50`, with non-breaking spaces. */
export function money(tiyin: number): string {
  const [sum = "", fraction] = inSum(tiyin).split(".");
  const grouped = sum.replace(/\B(?=(\d{3})+$)/g, "\u00a0");
  return fraction === undefined ? grouped : `${grouped},${fraction}`;
}

/** `04:35` in Tashkent. */
export function clockTime(instant: number): string {
  return new Date(instant + ZONE_MS).toISOString().slice(11, 16);
}

/** Embeddings, overrides and isolates of the bidirectional algorithm. They act beyond their own text. */
const BIDI_CONTROLS = /[\u202a-\u202e\u2066-\u2069]/g;

/** The text without the controls that could reorder the text next to it; old rows may hold them. */
export function withoutBidiControls(text: string): string {
  return text.replace(BIDI_CONTROLS, "");
}

/** Hebrew, Arabic and the other scripts that run from right to left. */
const RIGHT_TO_LEFT =
  /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** The text for a line of plain text: whatever its direction, the amount next to it stays in its place. */
export function isolated(text: string): string {
  const plain = withoutBidiControls(text);
  return RIGHT_TO_LEFT.test(plain) ? `\u2068${plain}\u2069` : plain;
}

// Unicode has no property for the last four: Braille's empty cell, a musical symbol without a shape,
// and two blank hieroglyphs.
const VISIBLE =
  /[^\p{White_Space}\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{M}\u2800\u{1d159}\u{13441}\u{13442}]/u;

/** Whether the text has a character that shows without another one: no space, mark or format control. */
export function hasVisibleCharacter(text: string): boolean {
  return VISIBLE.test(text);
}
