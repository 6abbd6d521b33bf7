import type { Clock } from "../ports.ts";
import type { Store } from "../store/store.ts";

/** Minimum interval between writes, regardless of the number of requests. */
const PING_EVERY_MS = 1000;

/** Resolves once a write from the last second is on disk; rejects if the write fails. */
export type WriteProbe = () => Promise<void>;

export function createWriteProbe({ store, now }: { store: Store; now: Clock }): WriteProbe {
  let lastPing: { readonly startedAt: number; readonly reachedDisk: Promise<void> } | undefined;

  return function ping() {
    // Absolute, because the clock may be set back.
    const isRecent = lastPing && Math.abs(now() - lastPing.startedAt) < PING_EVERY_MS;
    if (lastPing === undefined || !isRecent) {
      lastPing = { startedAt: now(), reachedDisk: store.ping() };
    }
    return lastPing.reachedDisk;
  };
}
