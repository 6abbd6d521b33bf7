import type { Needs } from "../dependencies.ts";
import { Unavailable } from "../errors.ts";
import { pause } from "../lib/pause.ts";
import { createRateLimit } from "../lib/rate-limit.ts";
import type { ChargeOutcome } from "../ports.ts";
import type { Order } from "../store/schema.ts";
import type { Tx } from "../store/store.ts";
import type { Attempt } from "./order-jobs.ts";
import { orderById, userIdIfKnown } from "./order-queries.ts";
import type { ChargeOrder } from "./charge-order.ts";
import {
  changeDetails,
  endRepeat,
  findConflictingOrder,
  insertPendingOrders,
  type NewOrder,
  openOrders,
  orderByPaymentKey,
  tariffCodeIfActive,
} from "./insert-queries.ts";
import { leaseEndsAt } from "./retry-schedule.ts";
import type { Worker } from "./worker.ts";

const HOUR_MS = 3_600_000;

/** Attempts to insert: the conflicting row may disappear between INSERT and SELECT. */
const MAX_INSERTS = 5;

/** Poll interval of a repeat that waits for another process. */
const POLL_MS = 50;

interface CreateOrderDependencies extends Needs<
  "store" | "now" | "randomId",
  "paymentTimeoutMs" | "orderRepeatWindowMs" | "ordersPerUserPerHour"
> {
  /** Makes the first charge attempt. */
  readonly chargeOrder: Worker<Attempt, Awaited<ReturnType<ChargeOrder>>>["attempt"];
  /** Ends the waits for other processes when it aborts. */
  readonly cutoff: AbortSignal;
}

/** Nothing was created. The user may order again at `retryAt`, in ms. */
export type Rejection = { readonly status: "rejected" } & (
  | { readonly code: "user_not_found" | "tariff_not_found" | "idempotency_key_reused" }
  | { readonly code: "too_many_orders"; readonly retryAt: number }
);

/** The result on disk: `pending` if the payment is in doubt, until about `dueAt`, in ms. */
export type Outcome =
  | Rejection
  | ((
      { readonly status: ChargeOutcome } | { readonly status: "pending"; readonly dueAt: number }
    ) & {
      readonly orderId: number;
      /** Whether an earlier request created the order. */
      readonly isRepeat: boolean;
      /** Whether the request came too late to change the order's address or comment. */
      readonly detailsIgnored: boolean;
    });

export interface CreateOrder {
  /**
   * Stores an order, charges it and records the outcome. A repeat creates no order: it waits for
   * the first one and gets its outcome. Only new orders count toward the user's hourly limit.
   * Resolves once the result is on disk. Rejects like `Store.batch`.
   */
  createOrder(request: Omit<NewOrder, "paymentKey" | "withinLimit">): Promise<Outcome>;
  /** Resolves when all running calls of `createOrder` have settled. */
  idle(): Promise<unknown>;
}

export function createCreateOrder(dependencies: CreateOrderDependencies): CreateOrder {
  const { store, chargeOrder, cutoff, now, randomId } = dependencies;
  const {
    paymentTimeoutMs,
    orderRepeatWindowMs,
    ordersPerUserPerHour: limit,
  } = dependencies.config;
  const newOrders = createRateLimit<number>({ limit, windowMs: HOUR_MS, now });
  /**
   * Requests in progress in this process, by payment key. A repeat waits for the entry of its
   * order, which works even if the clock jumps or the store fails. Repeats of other processes'
   * orders poll the row. An entry is added before its row is visible and removed after the first
   * charge attempt. A pending row without an entry is therefore not being paid by a request here.
   */
  const inFlight = new Map<string, Promise<Outcome>>();

  function createOrder(request: Omit<NewOrder, "paymentKey" | "withinLimit">): Promise<Outcome> {
    const paymentKey = randomId();
    const withinLimit = newOrders.take(request.userId);
    const result = process({ ...request, paymentKey, withinLimit });
    inFlight.set(paymentKey, result);
    return result;
  }

  // A single async function for a new order: each one costs 0.5 µs.
  async function process(request: NewOrder): Promise<Outcome> {
    let isLimitUsed = request.withinLimit;
    try {
      const result = await insert(request);
      if ("attempt" in result) {
        isLimitUsed = false;
        const { orderId } = result;
        const charged = await chargeOrder(result);
        // A retry may have settled the order, if the clock has jumped.
        const order = charged.status === "pending" ? await read(orderId) : undefined;
        const outcome = order === undefined ? charged : outcomeOf(order);
        return { ...outcome, orderId, isRepeat: false, detailsIgnored: false };
      }
      if (isLimitUsed) newOrders.giveBack(request.userId);
      isLimitUsed = false;
      return result.status === "rejected" ? result : await repeat(request, result);
    } finally {
      // The insert has failed.
      if (isLimitUsed) newOrders.giveBack(request.userId);
      inFlight.delete(request.paymentKey);
    }
  }

  /** Returns the outcome of the order that the request repeats. */
  async function repeat(request: NewOrder, order: Order): Promise<Outcome> {
    const answer = {
      orderId: order.id,
      isRepeat: true,
      detailsIgnored: !hasDetails(order, request),
    };
    if (order.status !== "pending") return { ...outcomeOf(order), ...answer };
    // Its own entry, if the acknowledgement of its insert was lost, would never settle.
    const isOwn = order.paymentKey === request.paymentKey;
    const first = isOwn ? undefined : await inFlight.get(order.paymentKey);
    if (first?.status === "rejected") return first;
    return { ...(first ?? outcomeOf(await waitForFirstAttempt(order))), ...answer };
  }

  /**
   * Returns the order once its first charge attempt has ended: in another process, or here since
   * the order was read. Never rejects.
   */
  async function waitForFirstAttempt(found: Order): Promise<Order> {
    let order = found;
    for (;;) {
      order = (await read(found.id)) ?? order;
      if (!store.isShared || !isFirstAttempt(order) || cutoff.aborted) return order;
      await pause(POLL_MS, cutoff);
    }
  }

  /** Returns the order's row; undefined if the store can't be read. */
  async function read(orderId: number): Promise<Order | undefined> {
    const [order] = await store.read((tx) => orderById(tx, { orderId })).catch(() => []);
    return order;
  }

  function isFirstAttempt({ status, attempts, createdAt, dueAt }: Order): boolean {
    // A rescheduled order has a different due time.
    const endsAt = leaseEndsAt(createdAt, paymentTimeoutMs);
    return status === "pending" && attempts === 1 && dueAt === endsAt && now() < endsAt;
  }

  const insert = store.batch((tx, requests: readonly NewOrder[]) => insertAll(tx, requests, 1));

  /** Inserts the orders. Returns the first charge attempt of each, or what prevented it. */
  async function insertAll(
    tx: Tx,
    requests: readonly NewOrder[],
    attempt: number,
  ): Promise<(Attempt | Order | Rejection)[]> {
    const createdAt = now();
    const allowed = requests.filter(({ withinLimit }) => withinLimit);
    const inserted = await insertPendingOrders(tx, allowed, {
      createdAt,
      // The lease of the first charge attempt: after a crash the order becomes due.
      dueAt: leaseEndsAt(createdAt, paymentTimeoutMs),
      isRepeatable: orderRepeatWindowMs > 0,
    });
    const results: (Attempt | Order | Rejection)[] = [];
    for (const request of requests) {
      const own = inserted.get(request.paymentKey);
      results.push(own ?? (await resolveConflict(tx, request, createdAt, attempt)));
    }
    return results;
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
      const [own] = await orderByPaymentKey(tx, { paymentKey });
      if (own !== undefined) return ownInsert(own);
    }
    const mayRepeat = idempotencyKey !== null || orderRepeatWindowMs > 0;
    const conflicting = mayRepeat ? await findConflictingOrder(tx, request) : undefined;
    if (conflicting === undefined) {
      if (!request.withinLimit) {
        const retryAt = newOrders.renewsAt(userId);
        return { status: "rejected", code: "too_many_orders", retryAt };
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
   * completed or cancelled, an older one that was reopened after the conflicting one was created.
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

  return { createOrder, idle: () => Promise.allSettled(inFlight.values()) };
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

/** Returns whether the order has the request's address and comment, as far as it gives any. */
function hasDetails(order: Order, { address, comment }: NewOrder): boolean {
  return (
    (address === null || address === order.address) &&
    (comment === null || comment === order.comment)
  );
}

/**
 * Handles our own insert whose acknowledgement was lost. Returns its first charge attempt, or the
 * order if another attempt has started.
 */
function ownInsert(order: Order & Pick<Attempt, "payer" | "tariffTitle">): Attempt | Order {
  const { id: orderId, attempts: attempt, status, dueAt, createdAt: statusAt } = order;
  if (status !== "pending" || attempt !== 1 || dueAt === null) return order;
  const { paymentKey, amountTiyin, payer, tariffTitle } = order;
  return { orderId, paymentKey, amountTiyin, payer, tariffTitle, statusAt, attempt, dueAt };
}

function outcomeOf({ id, status, dueAt }: Order) {
  if (status !== "pending") return { status };
  if (dueAt === null) throw new Error(`order ${id} is pending but has no due time`);
  return { status, dueAt };
}
