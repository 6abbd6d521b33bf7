import type { Needs } from "../dependencies.ts";
import { Unavailable } from "../errors.ts";
import type { Order } from "../store/schema.ts";
import type { Tx } from "../store/store.ts";
import type { Attempt } from "./order-jobs.ts";
import {
  changeDetails,
  endRepeat,
  openOrders,
  orderByKey,
  orderByPaymentKey,
  repeatableOrder,
  tariffCodeIfActive,
  userIdIfKnown,
} from "./order-queries.ts";
import { insertPendingOrders, type NewOrder } from "./pending-orders.ts";
import { leaseEndsAt } from "./retry-schedule.ts";

/** Attempts to insert: the conflicting row may disappear between INSERT and SELECT. */
const MAX_INSERTS = 5;

/** Nothing was created. The user may order again at `retryAt`, in ms. */
export type Rejection = { readonly status: "rejected" } & (
  | { readonly code: "user_not_found" | "tariff_not_found" | "idempotency_key_reused" }
  | { readonly code: "too_many_orders"; readonly retryAt: number }
);

interface InsertDependencies extends Needs<
  "store" | "now",
  "paymentTimeoutMs" | "orderRepeatWindowMs"
> {
  /** Returns when a user who has reached the hourly limit may order again, in ms. */
  readonly retryAt: (userId: number) => number;
}

/**
 * Returns a function that inserts a pending order at the current price, leased to its first charge
 * attempt. It resolves to that attempt, or to the order that the new one repeats, with the new
 * address and comment unless a dispatcher has already accepted or cancelled it.
 */
export function createInsertOrder(dependencies: InsertDependencies) {
  const { store, now, retryAt } = dependencies;
  const { paymentTimeoutMs, orderRepeatWindowMs } = dependencies.config;

  /**
   * Inserts the orders. Returns the first charge attempt of each, the order that it repeats, or a
   * rejection.
   */
  async function insertAll(
    tx: Tx,
    requests: readonly NewOrder[],
    attempt: number,
  ): Promise<(Attempt | Order | Rejection)[]> {
    const createdAt = now();
    const inserted = await insertNew(tx, requests, createdAt);
    const results: (Attempt | Order | Rejection)[] = [];
    for (const request of requests) {
      const own = inserted.get(request.paymentKey);
      results.push(own ?? (await resolveConflict(tx, request, createdAt, attempt)));
    }
    return results;
  }

  /** Inserts the orders that conflict with no other. Returns their first charge attempts. */
  function insertNew(tx: Tx, requests: readonly NewOrder[], createdAt: number) {
    const allowed = requests.filter(({ withinLimit }) => withinLimit);
    return insertPendingOrders(tx, allowed, {
      createdAt,
      // The lease of the first charge attempt: after a crash the order becomes due.
      dueAt: leaseEndsAt(createdAt, paymentTimeoutMs),
      isRepeatable: orderRepeatWindowMs > 0,
    });
  }

  /**
   * Handles a request that inserted nothing. Returns the order that it repeats, a rejection, or the
   * result of another insert because the conflicting row has disappeared.
   */
  async function resolveConflict(
    tx: Tx,
    request: NewOrder,
    createdAt: number,
    attempt: number,
  ): Promise<Attempt | Order | Rejection> {
    const { userId, tariffCode, idempotencyKey, paymentKey } = request;
    if (store.isShared) {
      // An earlier run of this transaction may have committed without acknowledgement.
      const own = await findOwn(tx, paymentKey);
      if (own !== undefined) return own;
    }
    const mayRepeat = idempotencyKey !== null || orderRepeatWindowMs > 0;
    const conflicting = mayRepeat ? await findConflictingOrder(tx, request) : undefined;
    if (conflicting === undefined) {
      if (!request.withinLimit) {
        return { status: "rejected", code: "too_many_orders", retryAt: retryAt(userId) };
      }
      const [user] = await userIdIfKnown(tx, { userId });
      if (user === undefined) return { status: "rejected", code: "user_not_found" };
      const [tariff] = await tariffCodeIfActive(tx, { tariffCode });
      if (tariff === undefined) return { status: "rejected", code: "tariff_not_found" };
      return retryInsert(tx, request, attempt);
    }
    if (conflicting.tariffCode !== tariffCode) {
      return { status: "rejected", code: "idempotency_key_reused" };
    }
    const found =
      idempotencyKey === null ? await findRepeatable(tx, conflicting, createdAt) : conflicting;
    if (found === undefined) {
      await endRepeat(tx, { orderId: conflicting.id });
      return retryInsert(tx, request, attempt);
    }
    return applyDetails(tx, request, found);
  }

  /**
   * Returns the order that a request without a key repeats: the conflicting one or, if that is
   * completed or cancelled, an older one whose completion or cancellation was undone.
   */
  async function findRepeatable(
    tx: Tx,
    conflicting: Order,
    at: number,
  ): Promise<Order | undefined> {
    if (conflicting.status === "pending") return conflicting;
    // Any older order is then outside the window too.
    if (!isInWindow(conflicting, at)) return undefined;
    // Uses the current stage, so that after an undone cancellation the order is repeatable again.
    const { userId, tariffCode, stage } = conflicting;
    if (stage !== "completed" && stage !== "cancelled") return conflicting;
    const after = at - orderRepeatWindowMs;
    const open = await openOrders(tx, { userId, tariffCode, after });
    return open.find((order) => isInWindow(order, at));
  }

  function isInWindow(order: Order, at: number): boolean {
    // Absolute, because the clock may be set back. Uses the current window, even for older orders.
    return Math.abs(at - order.createdAt) < orderRepeatWindowMs;
  }

  async function retryInsert(tx: Tx, request: NewOrder, attempt: number) {
    if (attempt === MAX_INSERTS) {
      throw new Unavailable("the conflicting order vanished on every retry");
    }
    const [result] = await insertAll(tx, [request], attempt + 1);
    if (result === undefined) throw new Error("insertAll returned no result");
    return result;
  }

  if (!store.isShared) {
    return store.batch((tx, requests: readonly NewOrder[]) => insertAll(tx, requests, 1));
  }

  /** Batches that have run. A retry gets the same array. */
  const begun = new WeakSet<readonly NewOrder[]>();
  // Batched statements commit one by one: if a conflict can't be resolved, the other orders of the
  // batch must not fail with it.
  const insertBatch = store.batch(async (tx, requests: readonly NewOrder[]) => {
    const isRetry = begun.has(requests);
    begun.add(requests);
    const inserted = await insertNew(tx, requests, now());
    const results: (Attempt | Order | undefined)[] = [];
    for (const { paymentKey } of requests) {
      const own = inserted.get(paymentKey);
      // Only an earlier run may have committed it. In the first run, a failing lookup would have
      // the inserted orders refused. In a retry, the store knows that the outcome is unknown.
      results.push(own ?? (isRetry ? await findOwn(tx, paymentKey) : undefined));
    }
    return results;
  });
  return async (request: NewOrder) => {
    const own = request.withinLimit ? await insertBatch(request) : undefined;
    return own ?? (await store.run((tx) => resolveConflict(tx, request, now(), 1)));
  };
}

/**
 * Stores a repeat's address and comment, unless a dispatcher has already accepted or cancelled the
 * order. Returns the order.
 */
async function applyDetails(tx: Tx, request: NewOrder, order: Order): Promise<Order> {
  if (hasDetails(order, request)) return order;
  const details = {
    address: request.address ?? order.address,
    comment: request.comment ?? order.comment,
  };
  const changed = await changeDetails(tx, { orderId: order.id, ...details });
  return changed.length > 0 ? { ...order, ...details } : order;
}

/** Returns whether the order has the request's address and comment. Omitted ones match. */
export function hasDetails(order: Order, { address, comment }: NewOrder): boolean {
  return (
    (address === null || address === order.address) &&
    (comment === null || comment === order.comment)
  );
}

/**
 * Returns the order of an insert whose acknowledgement may have been lost: its first charge
 * attempt, or the order itself if another attempt has started; undefined if nothing was inserted.
 */
async function findOwn(tx: Tx, paymentKey: string): Promise<Attempt | Order | undefined> {
  const [order] = await orderByPaymentKey(tx, { paymentKey });
  if (order === undefined) return undefined;
  const { id: orderId, attempts: attempt, status, dueAt, createdAt: statusAt } = order;
  if (status !== "pending" || attempt !== 1 || dueAt === null) return order;
  const { amountTiyin, payer, tariffTitle } = order;
  return { orderId, paymentKey, amountTiyin, payer, tariffTitle, statusAt, attempt, dueAt };
}

/** Returns the existing order that the new one would repeat, if any. */
async function findConflictingOrder(
  tx: Tx,
  { userId, tariffCode, idempotencyKey }: NewOrder,
): Promise<Order | undefined> {
  const [order] =
    idempotencyKey === null
      ? await repeatableOrder(tx, { userId, tariffCode })
      : await orderByKey(tx, { userId, idempotencyKey });
  return order;
}
