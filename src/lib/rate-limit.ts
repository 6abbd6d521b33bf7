/** Limits uses per key and time window. A key's first use starts a window. */
interface RateLimit<Key> {
  /** Counts one use. Returns false, without counting it, if the key has reached the limit. */
  take(key: Key): boolean;
  /** Undoes one `take`. */
  giveBack(key: Key): void;
  /** Returns when the key's window ends, in ms since 1970. */
  renewsAt(key: Key): number;
}

interface RateLimitOptions {
  /** Uses per window; 0 for no limit. */
  readonly limit: number;
  readonly windowMs: number;
  /** The time in ms since 1970. */
  readonly now: () => number;
}

/** About 10 MB. Beyond this, the oldest window is dropped, so its key starts again from 0. */
const MAX_KEYS = 100_000;

interface Window {
  readonly endsAt: number;
  taken: number;
}

/** Creates a limit in memory: each process counts separately, and from 0 after a restart. */
export function createRateLimit<Key>({ limit, windowMs, now }: RateLimitOptions): RateLimit<Key> {
  // Ordered by `endsAt`, because all windows have the same length.
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

  /** A window that would last too long, because the clock was set back, counts as ended. */
  function isRunning({ endsAt }: Window): boolean {
    const leftMs = endsAt - now();
    return leftMs > 0 && leftMs <= windowMs;
  }

  return { take, giveBack, renewsAt: (key) => current(key)?.endsAt ?? now() };
}
