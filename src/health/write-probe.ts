import type { Clock } from "../ports.ts";
import type { Store } from "../store/store.ts";

/** However often it is asked, the disk is written to once in this time. */
const PING_EVERY_MS = 1000;

/** Resolves when a write of the last second has reached the disk; rejects where it can't. */
export type WriteProbe = () => Promise<void>;

export function createWriteProbe({ store, now }: { store: Store; now: Clock }): WriteProbe {
  let lastPing: { readonly beganAt: number; readonly reachedDisk: Promise<void> } | undefined;

  return function ping() {
    // Either way, for a clock may be set back.
    const isRecent = lastPing && Math.abs(now() - lastPing.beganAt) < PING_EVERY_MS;
    if (lastPing === undefined || !isRecent) {
      lastPing = { beganAt: now(), reachedDisk: store.ping() };
    }
    return lastPing.reachedDisk;
  };
}
