/** So many at most in each window; a key's window begins with the first that it takes. */
export interface RateLimit<Key> {
  /** Takes one; false where the key has none left in its window. */
  take(key: Key): boolean;
  /** Gives one back that was taken, and not used. */
  giveBack(key: Key): void;
  /** When the key has all again, in ms. */
  renewsAt(key: Key): number;
}

export interface RateLimitOptions {
  /** How many in a window; 0 for any number. */
  readonly limit: number;
  readonly windowMs: number;
  /** The time in ms since 1970. */
  readonly now: () => number;
}

/** Some 10 MB; beyond it the oldest window is forgotten, which errs on the side of the caller. */
const MAX_KEYS = 100_000;

interface Window {
  readonly endsAt: number;
  taken: number;
}

/** A limit that is counted in memory: by each process alone, and from nothing after a restart. */
export function createRateLimit<Key>({ limit, windowMs, now }: RateLimitOptions): RateLimit<Key> {
  // In the order in which the windows end, for all are equally long.
  const windows = new Map<Key, Window>();

  function take(key: Key): boolean {
    if (limit === 0) return true;
    const window = current(key) ?? begin(key);
    if (window.taken >= limit) return false;
    window.taken += 1;
    return true;
  }

  function giveBack(key: Key) {
    const window = windows.get(key);
    if (window === undefined) return;
    window.taken -= 1;
    if (window.taken <= 0) windows.delete(key);
  }

  function begin(key: Key): Window {
    windows.delete(key);
    for (const [oldest, window] of windows) {
      if (isRunning(window) && windows.size < MAX_KEYS) break;
      windows.delete(oldest);
    }
    const window = { endsAt: now() + windowMs, taken: 0 };
    windows.set(key, window);
    return window;
  }

  function current(key: Key): Window | undefined {
    const window = windows.get(key);
    return window !== undefined && isRunning(window) ? window : undefined;
  }

  /** Where the clock was set back, a window would last longer than it is long. */
  function isRunning({ endsAt }: Window): boolean {
    const leftMs = endsAt - now();
    return leftMs > 0 && leftMs <= windowMs;
  }

  return { take, giveBack, renewsAt: (key) => current(key)?.endsAt ?? now() };
}
