import { LONGEST_PAUSE_MS, latestDueAt, nextAttemptAt } from "./retry-schedule.ts";

/** Decides which waiting work is due before its time. */
export interface Waker {
  /** Everything is due: this process has just started. */
  start(): void;
  /** An attempt has succeeded: work that failed before may succeed now. */
  succeeded(): void;
  /** The other side asked to be left alone: no work is woken before the next success. */
  postponed(): void;
  /** Work with a later due time than this, in ms, is due now. */
  dueBeyond(now: number): number;
  /** Records that the last `dueBeyond` made this many rows due. */
  woke(count: number): void;
}

/**
 * Creates a waker for work whose attempts take up to `timeoutMs`. It never wakes leased work, except by the
 * first look of a process that is alone with its database: the owners of those leases are gone. If that look
 * fails, this process may hold leases by the next.
 */
export function createWaker(timeoutMs: number, isShared: boolean): Waker {
  let isStarting = false;
  let isFirstLook = false;
  let successes = 0;
  let heeded = 0;
  /** The success count that the current look answers; undefined if it wakes nothing. */
  let waking: number | undefined;
  /** Consecutive wakes that found work. They back off, because some of it may never succeed. */
  let wakes = 0;
  let restsUntil = Number.NEGATIVE_INFINITY;
  let lookedAt = 0;

  return {
    start() {
      isStarting = !isShared;
      isFirstLook = isStarting;
    },
    succeeded: () => void (successes += 1),
    postponed: () => void (heeded = successes),
    dueBeyond(now) {
      lookedAt = now;
      const rests = restsUntil > now && restsUntil <= latestDueAt(now, LONGEST_PAUSE_MS);
      waking = successes > heeded && !rests ? successes : undefined;
      if (isFirstLook) {
        isFirstLook = false;
        return now;
      }
      return latestDueAt(now, isStarting || waking !== undefined ? timeoutMs : LONGEST_PAUSE_MS);
    },
    woke(count) {
      isStarting = false;
      if (waking === undefined) return;
      heeded = Math.max(heeded, waking);
      wakes = count === 0 ? 0 : wakes + 1;
      restsUntil = nextAttemptAt(lookedAt, wakes);
    },
  };
}
