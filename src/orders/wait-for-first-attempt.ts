import type { Clock } from "../ports.ts";
import { pause } from "../lib/pause.ts";
import type { Order } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { orderById } from "./order-queries.ts";
import { leaseEndsAt } from "./retry-schedule.ts";

/** How often a waiting repeat reads its order. */
const POLL_MS = 50;

export interface WaitDependencies {
  readonly store: Store;
  readonly now: Clock;
  readonly config: { readonly paymentTimeoutMs: number };
  /** When it aborts, all waits end. */
  readonly cutoff: AbortSignal;
}

/**
 * Waits until another process has ended the first charge attempt of an order, or its lease has ended, and
 * returns the order then. Returns at once if no other process can have the order. Never rejects.
 */
export type WaitForFirstAttempt = (order: Order) => Promise<Order>;

export function createWaitForFirstAttempt(dependencies: WaitDependencies): WaitForFirstAttempt {
  const { store, now, config, cutoff } = dependencies;

  function isFirstAttempt({ status, attempts, createdAt, dueAt }: Order): boolean {
    // A rescheduled order is due at another time.
    const endsAt = leaseEndsAt(createdAt, config.paymentTimeoutMs);
    return status === "pending" && attempts === 1 && dueAt === endsAt && now() < endsAt;
  }

  return async (found) => {
    let order = found;
    while (store.isShared && isFirstAttempt(order)) {
      await pause(POLL_MS, cutoff);
      if (cutoff.aborted) break;
      // If the store can't be read now, the next poll may.
      const [read] = await store.read((tx) => orderById(tx, { orderId: found.id })).catch(() => []);
      order = read ?? order;
    }
    return order;
  };
}
