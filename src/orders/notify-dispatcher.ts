import type { Log } from "../log.ts";
import type { Clock, DispatcherNotifier, PaidOrder } from "../ports.ts";
import type { Store } from "../store/store.ts";
import { withTimeout } from "../with-timeout.ts";
import { markNotified } from "./order-queries.ts";
import type { GiveBackLease, Lease } from "./give-back-lease.ts";
import { NOTIFY_TIMEOUT_MS } from "./retry-schedule.ts";

export interface NotifyDependencies {
  readonly store: Store;
  readonly dispatcher: DispatcherNotifier;
  readonly log: Log;
  readonly now: Clock;
  readonly giveBackLease: GiveBackLease;
}

/**
 * Tells the dispatcher of a paid order and records that he knows. An attempt that fails gives its lease
 * back. Never rejects.
 */
export type NotifyDispatcher = (lease: Lease & PaidOrder) => Promise<void>;

export function createNotifyDispatcher(dependencies: NotifyDependencies): NotifyDispatcher {
  const { store, dispatcher, log, now, giveBackLease } = dependencies;

  const record = store.batch(async (tx, orderIds: readonly number[]) => {
    await markNotified(tx, { orderIds: JSON.stringify(orderIds), now: now() });
    return orderIds;
  });

  // No async function for it: promises are a tenth of what an order costs.
  return (lease) => {
    const { orderId } = lease;
    const timeoutMs = Math.min(NOTIFY_TIMEOUT_MS, lease.dueAt - now());
    if (timeoutMs <= 0) return Promise.resolve();
    return withTimeout(timeoutMs, (options) => dispatcher.notify(lease, options))
      .then(() => record(orderId))
      .then(
        () => {},
        async (error) => {
          log.warn(
            `The dispatcher was not notified of order ${orderId}; it is tried again.`,
            error,
          );
          await giveBackLease(lease);
        },
      );
  };
}
