import type { Log } from "../log.ts";
import { type Clock, type DispatcherNotifier, type PaidOrder, Postponed } from "../ports.ts";
import type { Store } from "../store/store.ts";
import { withTimeout } from "../with-timeout.ts";
import { markNotified } from "./order-queries.ts";
import type { GiveBackLease, Lease } from "./give-back-lease.ts";
import { NOTIFY_TIMEOUT_MS } from "./retry-schedule.ts";
import type { Waker } from "./waker.ts";

/** With less left of its lease, an attempt might be cut off after the message was sent. */
const SHORTEST_ATTEMPT_MS = NOTIFY_TIMEOUT_MS / 2;

export interface NotifyDependencies {
  readonly store: Store;
  readonly dispatcher: DispatcherNotifier;
  readonly log: Log;
  readonly now: Clock;
  readonly giveBackLease: GiveBackLease;
  readonly waker: Pick<Waker, "succeeded" | "postponed">;
}

/**
 * Notifies the dispatcher of a paid order and records it. An attempt that fails gives its lease back; one
 * that the dispatcher postpones, or that has waited in the queue for too long, does not count. Never rejects.
 */
export type NotifyDispatcher = (lease: Lease & PaidOrder) => Promise<void>;

export function createNotifyDispatcher(dependencies: NotifyDependencies): NotifyDispatcher {
  const { store, dispatcher, log, now, giveBackLease, waker } = dependencies;

  const record = store.batch(async (tx, orderIds: readonly number[]) => {
    await markNotified(tx, { orderIds: JSON.stringify(orderIds), now: now() });
    return orderIds;
  });

  /** The last call to a dispatcher that takes one at a time. */
  let last: Promise<void> = Promise.resolve();

  function call(lease: Lease & PaidOrder): Promise<void> {
    const timeoutMs = Math.min(NOTIFY_TIMEOUT_MS, lease.dueAt - now());
    if (timeoutMs >= SHORTEST_ATTEMPT_MS) {
      return withTimeout(timeoutMs, (options) => dispatcher.notify(lease, options));
    }
    return Promise.reject(new Postponed("it has waited for its turn for too long", 0));
  }

  function callInTurn(lease: Lease & PaidOrder): Promise<void> {
    if (!dispatcher.isSerial) return call(lease);
    const next = () => call(lease);
    // The timeout begins with the turn.
    last = last.then(next, next);
    return last;
  }

  // No async function for it: promises are a tenth of what an order costs.
  return (lease) => {
    const { orderId } = lease;
    return callInTurn(lease)
      .then(() => record(orderId))
      .then(
        () => waker.succeeded(),
        async (error) => {
          if (error instanceof Postponed) {
            if (error.pauseMs > 0) waker.postponed();
            await giveBackLease(lease, now() + error.pauseMs);
            return;
          }
          log.warn(
            `The dispatcher was not notified of order ${orderId}; it is tried again.`,
            error,
          );
          await giveBackLease(lease);
        },
      );
  };
}
