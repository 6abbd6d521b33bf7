/** Tashkent's offset from UTC, all year. */
const ZONE_MS = 5 * 3_600_000;

const DAY_MS = 86_400_000;

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

/** Formats the time until an instant for `Retry-After`: in whole seconds, at least 1. */
export function secondsUntil(instant: number, now: number): string {
  return String(Math.max(1, Math.ceil((instant - now) / 1000)));
}

/** Formats a time in ms as `04:35`, in Tashkent. */
export function clockTime(instant: number): string {
  return new Date(instant + ZONE_MS).toISOString().slice(11, 16);
}

/** Returns the day in Tashkent, counted from 1970-01-01. */
export function dayOf(instant: number): number {
  return Math.floor((instant + ZONE_MS) / DAY_MS);
}

/** Returns the start of the day in Tashkent, in ms. */
export function startOfDay(day: number): number {
  return day * DAY_MS - ZONE_MS;
}

/** Formats a day as the value of a date input: `2026-11-25`. */
export function isoDay(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/** Parses `2026-11-25`; returns undefined for anything else, such as 30 February. */
export function parseDay(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return undefined;
  const day = Date.parse(text) / DAY_MS;
  // `Date.parse` turns 30 February into 2 March.
  return Number.isInteger(day) && isoDay(day) === text ? day : undefined;
}

/** Formats a day as `25.11`. */
export function shortDay(day: number): string {
  const [, month, date] = isoDay(day).split("-");
  return `${date}.${month}`;
}

/** Formats day and time in Tashkent: `25.11 04:35`. */
export function dayAndTime(instant: number): string {
  return `${shortDay(dayOf(instant))} ${clockTime(instant)}`;
}

/** Groups the digits of an Uzbek number: `+998 91 222 44 42`. Leaves other numbers unchanged. */
export function spacedPhone(phoneNumber: string): string {
  return phoneNumber.replace(
    /^\+998(\d\d)(\d{3})(\d\d)(\d\d)$/,
    "+998\u00a0$1\u00a0$2\u00a0$3\u00a0$4",
  );
}

/** Masks a number, enough to recognise it but not to call it: `+998 91 ••• •• 42`. */
export function maskedPhone(phoneNumber: string): string {
  const uzbek = /^\+998(\d\d)\d{5}(\d\d)$/.exec(phoneNumber);
  if (uzbek) return `+998\u00a0${uzbek[1]}\u00a0•••\u00a0••\u00a0${uzbek[2]}`;
  return `${phoneNumber.slice(0, 3)}\u00a0•••••\u00a0${phoneNumber.slice(-2)}`;
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
  // Created on first use: creating all of them would add 2 ms to each start.
  let rules: Intl.PluralRules | undefined;
  return (count) => forms[(rules ??= new Intl.PluralRules(language)).select(count)] ?? forms.other;
}
