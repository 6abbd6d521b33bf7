/** A dispatcher's system that takes longer has most likely not heard. */
export const NOTIFY_TIMEOUT_MS = 5000;

/** What an attempt may take beyond its time-out, to begin and to be recorded. */
const LEASE_MARGIN_MS = 1000;

/** No lease, pause or postponement is longer, so a later due time was written by another clock. */
export const LONGEST_PAUSE_MS = 3_600_000;

/** Until when nobody else makes the attempt that begins now and takes up to `timeoutMs`. */
export function leaseEndsAt(now: number, timeoutMs: number): number {
  return now + timeoutMs + LEASE_MARGIN_MS;
}

/**
 * The latest due time that a lease or pause of up to `longestMs` explains. The margin counts twice:
 * the clocks of two copies may differ by some milliseconds.
 */
export function latestDueAt(now: number, longestMs: number): number {
  return now + longestMs + 2 * LEASE_MARGIN_MS;
}

/** When an order is due again whose nth attempt has failed now: after 1 s, 16 s, 81 s …, at most an hour. */
export function nextAttemptAt(now: number, attempt: number): number {
  return now + Math.min(1000 * attempt ** 4, LONGEST_PAUSE_MS);
}
