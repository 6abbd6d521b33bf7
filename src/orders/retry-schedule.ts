/**
 * Timeout of a notification. If the dispatcher's system takes longer, it probably did not receive
 * it.
 */
export const NOTIFY_TIMEOUT_MS = 5000;

/** Lease time beyond an attempt's timeout, for starting and recording the attempt. */
const LEASE_MARGIN_MS = 1000;

/**
 * No lease, pause or postponement is longer, so a later due time means that the clock was ahead.
 */
export const LONGEST_PAUSE_MS = 3_600_000;

/** Returns the lease end of an attempt that starts at `now` and takes up to `timeoutMs`. */
export function leaseEndsAt(now: number, timeoutMs: number): number {
  return now + timeoutMs + LEASE_MARGIN_MS;
}

/**
 * Returns the latest due time that a lease or pause of up to `longestMs` can produce. The margin
 * counts twice, because instances' clocks may differ by a few milliseconds.
 */
export function latestDueAt(now: number, longestMs: number): number {
  return now + longestMs + 2 * LEASE_MARGIN_MS;
}

/**
 * Returns when to retry if attempt number `attempt` has failed at `now`: after 1 s, 16 s, 81 s …,
 * at most an hour.
 */
export function nextAttemptAt(now: number, attempt: number): number {
  return now + Math.min(1000 * attempt ** 4, LONGEST_PAUSE_MS);
}
