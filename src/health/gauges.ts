import type { Needs } from "../dependencies.ts";
import type { Gauges } from "../metrics.ts";
import type { StoreSizes } from "../store/store.ts";
import type { WriteProbe } from "./write-probe.ts";

/** Numbers of waiting orders, and when the oldest of each kind began to wait, in ms. */
export interface Waiting {
  readonly pending: number;
  readonly pendingSince: number | null;
  readonly unnotified: number;
  readonly unnotifiedSince: number | null;
}

export interface GaugeDependencies extends Needs<"store" | "log" | "now", "paymentTimeoutMs"> {
  readonly ping: WriteProbe;
  /** Counts waiting orders; pending ones only if created at or before `createdUntil`, in ms. */
  readonly readWaiting: (createdUntil: number) => Promise<Waiting>;
}

/** Reads all gauges. Never rejects: leaves out values that it can't read, and logs the reason. */
export async function readGauges(dependencies: GaugeDependencies): Promise<Gauges> {
  const { store, ping, log, now, readWaiting, config } = dependencies;
  const at = now();
  const [sizes, waiting, isWritable] = await Promise.all([
    store.measure().catch(logFailure),
    // The provider may still answer for younger orders: they are not in doubt yet.
    readWaiting(at - config.paymentTimeoutMs).catch(logFailure),
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

  function logFailure(error: unknown): undefined {
    log.warn("Could not read some gauges; /metrics leaves them out.", error);
  }
}

function sizesOf(sizes: StoreSizes | undefined) {
  return {
    commitQueue: sizes?.queuedTransactions,
    databaseBytes: sizes?.databaseBytes,
    walBytes: sizes?.walBytes,
  };
}
