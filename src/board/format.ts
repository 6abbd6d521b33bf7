import { clockTime, ZONE_MS } from "../lib/format.ts";
import { isRecent } from "../orders/change-stage.ts";
import type { Translations } from "./translations.ts";

const DAY_MS = 86_400_000;

const MINUTE_MS = 60_000;

/** The number of the day in Tashkent, from which others are counted. */
export function dayOf(instant: number): number {
  return Math.floor((instant + ZONE_MS) / DAY_MS);
}

/** When the day with this number begins, in ms. */
export function startOfDay(day: number): number {
  return day * DAY_MS - ZONE_MS;
}

/** `2026-11-25`, as a field of a form has it. */
export function isoDay(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/** The number of the day that `2026-11-25` names; undefined if the text is not a real date in this form. */
export function parseDay(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return undefined;
  const day = Date.parse(text) / DAY_MS;
  // Some engines roll 30 February over into March.
  return Number.isInteger(day) && isoDay(day) === text ? day : undefined;
}

/** `25.11` */
export function shortDay(day: number): string {
  const [, month, date] = isoDay(day).split("-");
  return `${date}.${month}`;
}

/** `25.11 04:35` in Tashkent. */
export function dayAndTime(instant: number): string {
  return `${shortDay(dayOf(instant))} ${clockTime(instant)}`;
}

/** `7 min`, `2 h` or `3 d` ago; an instant in the future as day and time. */
export function formatAge(at: number, now: number, words: Translations): string {
  if (!isRecent(at, now, Number.POSITIVE_INFINITY)) return dayAndTime(at);
  const minutes = Math.max(0, Math.floor((now - at) / MINUTE_MS));
  if (minutes < 60) return `${minutes}\u00a0${words.minutes}`;
  const hours = Math.floor(minutes / 60);
  return hours < 48
    ? `${hours}\u00a0${words.hours}`
    : `${Math.floor(hours / 24)}\u00a0${words.daysAgo}`;
}

/** An E.164 number in groups: `+998 91 222 44 42`; others as they are. */
export function spacedPhone(phoneNumber: string): string {
  return phoneNumber.replace(
    /^\+998(\d\d)(\d{3})(\d\d)(\d\d)$/,
    "+998\u00a0$1\u00a0$2\u00a0$3\u00a0$4",
  );
}

/** `+998 91 ••• •• 42`: enough to recognise it, not enough to call. */
export function maskedPhone(phoneNumber: string): string {
  const uzbek = /^\+998(\d\d)\d{5}(\d\d)$/.exec(phoneNumber);
  if (uzbek) return `+998\u00a0${uzbek[1]}\u00a0•••\u00a0••\u00a0${uzbek[2]}`;
  return `${phoneNumber.slice(0, 3)}\u00a0•••••\u00a0${phoneNumber.slice(-2)}`;
}
