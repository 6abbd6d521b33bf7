import type { Needs } from "../dependencies.ts";
import { pause } from "../lib/pause.ts";
import type { Order } from "../store/schema.ts";
import { orderById } from "./order-queries.ts";
import { leaseEndsAt } from "./retry-schedule.ts";

/** Poll interval of a waiting repeat. */
const POLL_MS = 50;

interface WaitDependencies extends Needs<"store" | "now", "paymentTimeoutMs"> {
  /** Ends all waits when it aborts. */
  readonly cutoff: AbortSignal;
}

/**
 * Waits until another process has finished the first charge attempt of the order, or until its
 * lease ends; returns the order. Returns immediately if the store is not shared. Never rejects.
 */
export type WaitForFirstAttempt = (order: Order) => Promise<Order>;

export function createWaitForFirstAttempt(dependencies: WaitDependencies): WaitForFirstAttempt {
  const { store, now, config, cutoff } = dependencies;

  function isFirstAttempt({ status, attempts, createdAt, dueAt }: Order): boolean {
    // A rescheduled order has a different due time.
    const endsAt = leaseEndsAt(createdAt, config.paymentTimeoutMs);
    return status === "pending" && attempts === 1 && dueAt === endsAt && now() < endsAt;
  }

  return async (found) => {
    let order = found;
    while (store.isShared && isFirstAttempt(order)) {
      await pause(POLL_MS, cutoff);
      if (cutoff.aborted) break;
      // Ignores store errors: the next poll may succeed.
      const [read] = await store.read((tx) => orderById(tx, { orderId: found.id })).catch(() => []);
      order = read ?? order;
    }
    return order;
  };
}
