import { clockTime, ZONE_MS } from "../lib/format.ts";
import { isRecent } from "../orders/change-stage.ts";
import type { Translations } from "./translations.ts";

const DAY_MS = 86_400_000;

const MINUTE_MS = 60_000;

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
  // Some engines turn 30 February into 2 March.
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

/**
 * Formats an age as `just now`, `7 min`, `2 h` or `3 d`; an instant in the future as day and time.
 */
export function formatAge(at: number, now: number, texts: Translations): string {
  if (!isRecent(at, now, Number.POSITIVE_INFINITY)) return dayAndTime(at);
  const minutes = Math.max(0, Math.floor((now - at) / MINUTE_MS));
  if (minutes < 1) return texts.justNow;
  if (minutes < 60) return `${minutes}\u00a0${texts.minutes}`;
  const hours = Math.floor(minutes / 60);
  return hours < 48
    ? `${hours}\u00a0${texts.hours}`
    : `${Math.floor(hours / 24)}\u00a0${texts.daysAgo}`;
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
