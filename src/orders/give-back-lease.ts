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
 * Ends the lease of a failed attempt and resolves to the time of the next attempt, in ms: the end of its
 * pause, or `postponedTo` for an attempt that was not made and does not count. Leaves an order alone that
 * another attempt has claimed since. If nothing can be written, the lease runs out. Never rejects.
 */
export type GiveBackLease = (lease: Lease, postponedTo?: number) => Promise<number>;

export function createGiveBackLease(dependencies: {
  readonly store: Store;
  readonly log: Log;
  readonly now: Clock;
}): GiveBackLease {
  const { store, log, now } = dependencies;

  const end = store.batch(
    async (tx, ends: readonly { lease: Lease; postponedTo: number | undefined }[]) => {
      const endedAt = now();
      const rows = ends.map(({ lease: { orderId, status, attempt }, postponedTo }) => {
        const dueAt = postponedTo ?? nextAttemptAt(endedAt, attempt);
        const attempts = postponedTo === undefined ? attempt : attempt - 1;
        return [orderId, status, attempt, dueAt, attempts] as const;
      });
      await endLeases(tx, { leases: JSON.stringify(rows) });
      return rows.map(([, , , dueAt]) => dueAt);
    },
  );

  return async (lease, postponedTo) => {
    try {
      return await end({ lease, postponedTo });
    } catch (error) {
      log.error(`Can't give order ${lease.orderId} back: it waits until its lease is over.`, error);
      return lease.dueAt;
    }
  };
}
