/** A dispatcher's system that takes longer has most likely not heard. */
export const NOTIFY_TIMEOUT_MS = 5000;

const LONGEST_PAUSE_MS = 3_600_000;

/** When an order is due again, if the nth attempt, which begins now and takes up to `timeoutMs`, fails. */
export function nextAttemptAt(now: number, timeoutMs: number, attempt: number): number {
  return now + timeoutMs + pauseMs(attempt);
}

/** How long to wait after the nth failed attempt: 1 s, 16 s, 81 s …, at most an hour. */
function pauseMs(attempt: number): number {
  return Math.min(1000 * attempt ** 4, LONGEST_PAUSE_MS);
}
