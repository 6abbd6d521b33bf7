import type { Clock } from "../ports.ts";
import type { Store } from "../store/store.ts";
import type { Order } from "../store/schema.ts";
import { ordersById } from "./order-queries.ts";
import { leaseEndsAt } from "./retry-schedule.ts";

/** How often to look whether another copy has come to the end of its attempt. */
const LOOK_MS = 50;

export interface FollowDependencies {
  readonly store: Store;
  readonly now: Clock;
  readonly config: { readonly paymentTimeoutMs: number };
  /** When it aborts, nobody is waited for any longer. */
  readonly cutoff: AbortSignal;
}

/**
 * Resolves to the order as it is once the copy that has taken it has heard from the provider, or has not in
 * time; at once where nobody is asking for the first time. Rejects like `Store.batch`.
 */
export type FollowOrder = (order: Order) => Promise<Order>;

export function createFollowOrder(dependencies: FollowDependencies): FollowOrder {
  const { store, now, config, cutoff } = dependencies;

  const readOrder = store.batch(async (tx, orderIds: readonly number[]) => {
    const orders = await ordersById(tx, { orderIds: JSON.stringify(orderIds) });
    const byId = new Map(orders.map((order) => [order.id, order]));
    return orderIds.map((id) => byId.get(id));
  });

  /** The next look, which all that are followed have in common. */
  let next: Promise<void> | undefined;

  function nextLook(): Promise<void> {
    next ??= new Promise((resolve) => {
      setTimeout(() => {
        next = undefined;
        resolve();
      }, LOOK_MS);
    });
    return next;
  }

  function isFirstAttempt({ status, attempts, createdAt, dueAt }: Order): boolean {
    // A lease that was given back ends at another instant.
    const endsAt = leaseEndsAt(createdAt, config.paymentTimeoutMs);
    return status === "pending" && attempts === 1 && dueAt === endsAt && now() < endsAt;
  }

  return async (found) => {
    let order = found;
    while (store.isShared && isFirstAttempt(order) && !cutoff.aborted) {
      await nextLook();
      order = (await readOrder(order.id)) ?? order;
    }
    return order;
  };
}
