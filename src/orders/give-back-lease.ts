import type { Log } from "../log.ts";
import type { Clock } from "../ports.ts";
import type { Store } from "../store/store.ts";
import { endLeases } from "./order-queries.ts";
import { nextAttemptAt } from "./retry-schedule.ts";

/** An attempt at an order, which nobody else makes until `dueAt`, in ms. */
export interface Lease {
  readonly orderId: number;
  /** What is attempted: to charge a pending order, to notify of a paid one. */
  readonly status: "pending" | "paid";
  /** The how manyeth attempt it is. */
  readonly attempt: number;
  readonly dueAt: number;
}

/**
 * Ends the lease of an attempt that has failed, so that the next comes after its pause and not after the
 * whole time-out; resolves to when that is, in ms. What another has begun since stays as it is. Where
 * nothing can be written the lease runs out. Never rejects.
 */
export type GiveBackLease = (lease: Lease) => Promise<number>;

export function createGiveBackLease(dependencies: {
  readonly store: Store;
  readonly log: Log;
  readonly now: Clock;
}): GiveBackLease {
  const { store, log, now } = dependencies;

  const end = store.batch(async (tx, leases: readonly Lease[]) => {
    const endedAt = now();
    const dueAts = leases.map(({ attempt }) => nextAttemptAt(endedAt, attempt));
    const rows = leases.map(({ orderId, status, attempt }, at) => [
      orderId,
      status,
      attempt,
      dueAts[at],
    ]);
    await endLeases(tx, { leases: JSON.stringify(rows) });
    return dueAts;
  });

  return async (lease) => {
    try {
      return await end(lease);
    } catch (error) {
      log.error(`Can't give order ${lease.orderId} back: it waits until its lease is over.`, error);
      return lease.dueAt;
    }
  };
}
