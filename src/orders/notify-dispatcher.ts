import type { Log } from "../log.ts";
import type { Clock, DispatcherNotifier } from "../ports.ts";
import type { Store } from "../store/store.ts";
import { withTimeout } from "../with-timeout.ts";
import { markNotified } from "./order-queries.ts";
import { NOTIFY_TIMEOUT_MS } from "./retry-schedule.ts";

export interface NotifyDependencies {
  readonly store: Store;
  readonly dispatcher: DispatcherNotifier;
  readonly log: Log;
  readonly now: Clock;
}

/**
 * Tells the dispatcher of a paid order and records that he knows. An attempt that fails changes nothing:
 * the order is due already. Never rejects.
 */
export type NotifyDispatcher = (order: { readonly orderId: number }) => Promise<void>;

export function createNotifyDispatcher(dependencies: NotifyDependencies): NotifyDispatcher {
  const { store, dispatcher, log, now } = dependencies;

  const record = store.batch(async (tx, orderIds: readonly number[]) => {
    await markNotified(tx, { orderIds: JSON.stringify(orderIds), now: now() });
    return orderIds;
  });

  // No async function for it: promises are a tenth of what an order costs.
  return ({ orderId }) =>
    withTimeout(NOTIFY_TIMEOUT_MS, (options) => dispatcher.notify(orderId, options))
      .then(() => record(orderId))
      .then(
        () => {},
        (error) =>
          log.warn(
            `The dispatcher was not notified of order ${orderId}; it is tried again.`,
            error,
          ),
      );
}
