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

/**
 * Maximum number of jobs that become due early at once. More would exceed PostgreSQL's statement
 * timeout: 20,000 took 0.4 s, 100,000 over 2 s. The others are due within an hour anyway.
 */
export const MAX_WOKEN = 10_000;

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

/** Decides which jobs become due early. */
interface Waker {
  /**
   * Records that the process has just started: if the store is not shared, even leased jobs become
   * due.
   */
  start(): void;
  /** Records a successful attempt: jobs that failed before may succeed now. */
  succeeded(): void;
  /** Records that the recipient postponed a job. No jobs are woken until the next success. */
  postponed(): void;
  /** Returns a time in ms: jobs with a later due time should become due now. */
  dueBeyond(now: number): number;
  /** Records how many jobs were made due after the last `dueBeyond`. */
  woke(count: number): void;
}

/**
 * Creates a waker for jobs whose attempts take up to `timeoutMs`. It never wakes leased jobs,
 * except on the first poll if the store is not shared: no other process can hold a lease then. If
 * that poll fails, the next one wakes no leased jobs, because this process may hold leases by then.
 */
export function createWaker(timeoutMs: number, isShared: boolean): Waker {
  let isStarting = false;
  let isFirstPoll = false;
  let successes = 0;
  let handled = 0;
  /** The success count that the current poll handles; undefined if it wakes nothing. */
  let waking: number | undefined;
  /**
   * Wake-ups that found jobs, without a quiet hour in between. Each one lengthens the backoff,
   * because some jobs may never succeed. A wake-up that finds none proves nothing: such a job may
   * be leased at that moment.
   */
  let wakes = 0;
  let backoffEndsAt = Number.NEGATIVE_INFINITY;
  let polledAt = 0;

  return {
    start() {
      isStarting = !isShared;
      isFirstPoll = isStarting;
    },
    succeeded: () => void (successes += 1),
    postponed: () => void (handled = successes),
    dueBeyond(now) {
      polledAt = now;
      const isBackingOff =
        backoffEndsAt > now && backoffEndsAt <= latestDueAt(now, LONGEST_PAUSE_MS);
      waking = successes > handled && !isBackingOff ? successes : undefined;
      if (isFirstPoll) {
        isFirstPoll = false;
        return now;
      }
      return latestDueAt(now, isStarting || waking !== undefined ? timeoutMs : LONGEST_PAUSE_MS);
    },
    woke(count) {
      isStarting = false;
      if (waking === undefined) return;
      handled = Math.max(handled, waking);
      if (count === 0) return;
      // Absolute, because the clock may be set back.
      const wasQuiet = Math.abs(polledAt - backoffEndsAt) > LONGEST_PAUSE_MS;
      wakes = wasQuiet ? 1 : wakes + 1;
      backoffEndsAt = nextAttemptAt(polledAt, wakes);
    },
  };
}
