/**
 * Maximum clock skew between instances. Each reads the database server's clock within its query
 * timeout, so the real skew is smaller.
 */
const CLOCK_SKEW_MS = 5000;

/**
 * Returns whether `at` was less than `windowMs` before `now`. A time in the future is not recent:
 * it was recorded while the clock was ahead, and would stay recent for too long.
 */
export function isRecent(at: number, now: number, windowMs: number): boolean {
  const ageMs = now - at;
  return ageMs >= -CLOCK_SKEW_MS && ageMs < windowMs;
}
