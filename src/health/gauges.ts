import type { Log } from "../log.ts";
import type { Gauges } from "../metrics.ts";
import type { Clock } from "../ports.ts";
import type { Store, StoreSizes } from "../store/store.ts";
import type { WriteProbe } from "./write-probe.ts";

/** Orders that wait, and since when, in ms, the oldest does. */
export interface Waiting {
  readonly pending: number;
  readonly pendingSince: number | null;
  readonly unnotified: number;
  readonly unnotifiedSince: number | null;
}

export interface GaugeDependencies {
  readonly store: Store;
  readonly ping: WriteProbe;
  readonly log: Log;
  readonly now: Clock;
  /** The orders that wait, of those that were made by `madeBy`. */
  readonly readWaiting: (madeBy: number) => Promise<Waiting>;
  readonly config: { readonly paymentTimeoutMs: number };
}

/** What is true now. Never rejects: what can't be known is left out, and the log says why. */
export async function readGauges(dependencies: GaugeDependencies): Promise<Gauges> {
  const { store, ping, log, now, readWaiting, config } = dependencies;
  const at = now();
  const [sizes, waiting, isWritable] = await Promise.all([
    store.measure().catch(leaveOut),
    // What is younger may still be answered: it is being paid, and not in doubt.
    readWaiting(at - config.paymentTimeoutMs).catch(leaveOut),
    ping().then(
      () => true,
      () => false,
    ),
  ]);
  const ageOf = (since: number | null) => (since === null ? 0 : Math.max(0, at - since) / 1000);
  return {
    paymentsInDoubt: waiting?.pending,
    oldestInDoubtSeconds: waiting && ageOf(waiting.pendingSince),
    unnotifiedOrders: waiting?.unnotified,
    oldestUnnotifiedSeconds: waiting && ageOf(waiting.unnotifiedSince),
    isWritable,
    ...sizesOf(sizes),
  };

  function leaveOut(error: unknown): undefined {
    log.warn("Something can't be measured.", error);
  }
}

function sizesOf(sizes: StoreSizes | undefined) {
  return {
    commitQueue: sizes?.queuedTransactions,
    databaseBytes: sizes?.databaseBytes,
    walBytes: sizes?.walBytes,
  };
}
