// Patterns for the OpenAPI document. Validators compile patterns with or without the flag `u`, so
// these mean the same both ways: no `\p{}`, and two forms for characters beyond U+FFFF.

/**
 * Bidirectional controls, which reorder adjacent text such as a phone number, and the deprecated
 * and annotation controls.
 */
const FORMAT = "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u206f\\ufff9-\\ufffb";

const LINE_SEPARATORS = "\\u2028\\u2029";

const CONTROL = "\\u0000-\\u001f\\u007f-\\u009f";

const CONTROL_BUT_TAB_AND_NEWLINE = "\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f";

/** Spaces, default-ignorable and format characters, and the blank Braille cell. */
const BLANK =
  "\\s\\u00ad\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f" +
  "\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\uffa0\\ufff0-\\ufffb";

/** Combining marks for Latin, Cyrillic, Hebrew and Arabic script, and for symbols. */
const MARKS =
  "\\u0300-\\u036f\\u0483-\\u0489\\u0591-\\u05bd\\u05bf\\u05c1\\u05c2\\u05c4\\u05c5\\u05c7\\u0610-\\u061a\\u064b-\\u065f" +
  "\\u0670\\u06d6-\\u06dc\\u06df-\\u06e4\\u06e7\\u06e8\\u06ea-\\u06ed\\u1ab0-\\u1ace\\u1dc0-\\u1dff\\u20d0-\\u20f0\\ufe20-\\ufe2f";

/** Blank characters beyond U+FFFF; the last are tags and variation selectors. */
const ASTRAL_BLANK = [
  [0x110bd, 0x110bd],
  [0x110cd, 0x110cd],
  [0x13430, 0x13442],
  [0x1bca0, 0x1bca3],
  [0x1d159, 0x1d159],
  [0x1d173, 0x1d17a],
  [0xe0000, 0xe0fff],
] as const;

/** Returns the escaped surrogates of a code point. */
function surrogates(codePoint: number): { high: string; low: string } {
  const text = String.fromCodePoint(codePoint);
  const escape = (at: number) => `\\u${text.charCodeAt(at).toString(16)}`;
  return { high: escape(0), low: escape(1) };
}

/**
 * Returns a pattern that matches a range without the flag `u`, where each character is two units.
 * With the flag, it matches nothing.
 */
function asUnits([first, last]: readonly [number, number]): string {
  const [from, to] = [surrogates(first), surrogates(last)];
  // Ranges here that span several high surrogates include all low ones.
  if (from.high !== to.high) return `[${from.high}-${to.high}][\\udc00-\\udfff]`;
  return `${from.high}[${from.low}-${to.low}]`;
}

/**
 * Returns a pattern that matches a range with the flag `u`. Uses an intersection, because
 * `[\ud834\udd73-\ud834\udd7a]` is a syntax error without the flag.
 */
function asCodePoints([first, last]: readonly [number, number]): string {
  const [before, to] = [surrogates(first - 1), surrogates(last)];
  return `(?=[^\\u0000-${before.high}${before.low}])[\\ud800-${to.high}${to.low}]`;
}

const BLANK_CHARACTER = [
  `[${BLANK}${MARKS}]`,
  ...ASTRAL_BLANK.map(asUnits),
  // The lookahead prevents matching half a character without the flag.
  `(?![\\ud800-\\udbff])(?:${ASTRAL_BLANK.map(asCodePoints).join("|")})`,
].join("|");

const NOT_BLANK = `(?!(?:${BLANK_CHARACTER})*$)`;

/** A line with a visible character and without control or bidirectional control characters. */
export const ONE_LINE = `^${NOT_BLANK}[^${CONTROL}${LINE_SEPARATORS}${FORMAT}]*$`;

/** Like `ONE_LINE`, but allows tabs and line breaks. */
export const LINES = `^${NOT_BLANK}[^${CONTROL_BUT_TAB_AND_NEWLINE}${FORMAT}]*$`;
