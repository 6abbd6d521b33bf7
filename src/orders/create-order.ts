import type { Needs } from "../dependencies.ts";
import { Unavailable } from "../errors.ts";
import { createRateLimit } from "../lib/rate-limit.ts";
import type { Order } from "../store/schema.ts";
import type { Tx } from "../store/store.ts";
import type { Outcome } from "./charge-order.ts";
import { type Attempt } from "./order-queries.ts";
import {
  changeDetails,
  endRepeat,
  findConflictingOrder,
  insertPendingOrders,
  type NewOrder,
  openOrders,
  orderByPaymentKey,
  tariffCodeIfActive,
  userIdIfKnown,
} from "./insert-queries.ts";
import { leaseEndsAt } from "./retry-schedule.ts";
import type { WaitForFirstAttempt } from "./wait-for-first-attempt.ts";

const HOUR_MS = 3_600_000;

/** Attempts to insert: the conflicting row may disappear between INSERT and SELECT. */
const MAX_INSERTS = 5;

interface CreateOrderDependencies extends Needs<
  "store" | "now" | "randomId",
  "paymentTimeoutMs" | "orderRepeatWindowMs" | "ordersPerUserPerHour"
> {
  /** Makes the first charge attempt. Never rejects. */
  readonly chargeOrder: (attempt: Attempt) => Promise<Outcome>;
  readonly waitForFirstAttempt: WaitForFirstAttempt;
}

/** Nothing was created. The user may order again at `retryAt`, in ms. */
export type Rejection =
  | {
      readonly status: "rejected";
      readonly code: "user_not_found" | "tariff_not_found" | "idempotency_key_reused";
    }
  | {
      readonly status: "rejected";
      readonly code: "too_many_orders";
      readonly retryAt: number;
    };

export type CreateOrderResult =
  | Rejection
  | (Outcome & {
      readonly orderId: number;
      /** Whether an earlier request created the order. */
      readonly isRepeat: boolean;
      /** Whether the request came too late to change the order's address or comment. */
      readonly detailsIgnored: boolean;
    });

type InsertResult =
  | Rejection
  | { readonly status: "inserted"; readonly attempt: Attempt }
  | {
      readonly status: "repeat";
      readonly order: Order;
      readonly inFlight: Promise<CreateOrderResult> | undefined;
      readonly detailsIgnored: boolean;
    };

export interface CreateOrder {
  /**
   * Stores an order, charges it and records the outcome. A repeat creates no order: it waits for
   * the first one and gets its outcome. Only new orders count toward the user's hourly limit.
   * Resolves once the result is on disk. Rejects like `Store.batch`.
   */
  createOrder(request: Omit<NewOrder, "paymentKey" | "withinLimit">): Promise<CreateOrderResult>;
  /** Resolves when all running calls of `createOrder` have settled. */
  idle(): Promise<unknown>;
}

export function createCreateOrder(dependencies: CreateOrderDependencies): CreateOrder {
  const { store, chargeOrder, waitForFirstAttempt, now, randomId } = dependencies;
  const { paymentTimeoutMs, orderRepeatWindowMs, ordersPerUserPerHour } = dependencies.config;
  const newOrders = createRateLimit<number>({
    limit: ordersPerUserPerHour,
    windowMs: HOUR_MS,
    now,
  });
  /**
   * Requests in progress in this process, by payment key. A repeat waits for the entry of its
   * order, which works even if the clock jumps or the store fails. Repeats of other processes'
   * orders poll the row. An entry is added before its row is visible and removed after the first
   * charge attempt. A pending row without an entry is therefore not being paid by a request here.
   */
  const inFlight = new Map<string, Promise<CreateOrderResult>>();

  function createOrder(
    request: Omit<NewOrder, "paymentKey" | "withinLimit">,
  ): Promise<CreateOrderResult> {
    const paymentKey = randomId();
    const withinLimit = newOrders.take(request.userId);
    const result = process({ ...request, paymentKey, withinLimit });
    inFlight.set(paymentKey, result);
    return result;
  }

  // A single async function for a new order: each one costs 0.5 µs.
  async function process(request: NewOrder): Promise<CreateOrderResult> {
    let isLimitUsed = request.withinLimit;
    try {
      const result = await insert(request);
      if (result.status === "inserted") {
        isLimitUsed = false;
        const { orderId } = result.attempt;
        const outcome = await chargeOrder(result.attempt);
        return { ...outcome, orderId, isRepeat: false, detailsIgnored: false };
      }
      if (isLimitUsed) newOrders.giveBack(request.userId);
      isLimitUsed = false;
      if (result.status === "rejected") return result;
      const { detailsIgnored } = result;
      const first = await result.inFlight;
      if (first?.status === "rejected") return first;
      const outcome = first ?? outcomeOf(await waitForFirstAttempt(result.order));
      return { ...outcome, orderId: result.order.id, isRepeat: true, detailsIgnored };
    } finally {
      // The insert has failed.
      if (isLimitUsed) newOrders.giveBack(request.userId);
      inFlight.delete(request.paymentKey);
    }
  }

  const insert = store.batch((tx, requests: readonly NewOrder[]) => insertAll(tx, requests, 1));

  async function insertAll(
    tx: Tx,
    requests: readonly NewOrder[],
    attempt: number,
  ): Promise<InsertResult[]> {
    const createdAt = now();
    const allowed = requests.filter(({ withinLimit }) => withinLimit);
    const inserted = await insertPendingOrders(tx, allowed, {
      createdAt,
      // The lease of the first charge attempt: after a crash the order becomes due.
      dueAt: leaseEndsAt(createdAt, paymentTimeoutMs),
      isRepeatable: orderRepeatWindowMs > 0,
    });
    const results: InsertResult[] = [];
    for (const request of requests) {
      const own = inserted.get(request.paymentKey);
      results.push(
        own === undefined
          ? await resolveConflict(tx, request, createdAt, attempt)
          : { status: "inserted", attempt: own },
      );
    }
    return results;
  }

  /**
   * Handles a request that inserted nothing: a repeat, a rejection, or a retry because the
   * conflicting row has disappeared.
   */
  async function resolveConflict(
    tx: Tx,
    request: NewOrder,
    createdAt: number,
    attempt: number,
  ): Promise<InsertResult> {
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
    return {
      status: "repeat",
      order: found,
      // A retry may have settled the order while its first request is still waiting for the
      // provider.
      inFlight: found.status === "pending" ? inFlight.get(found.paymentKey) : undefined,
      detailsIgnored: !(await applyDetails(tx, request, found)),
    };
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

  async function retryInsert(tx: Tx, request: NewOrder, attempt: number): Promise<InsertResult> {
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
 * Stores a repeat's address and comment. Returns false if a dispatcher has already accepted or
 * cancelled the order.
 */
async function applyDetails(
  tx: Tx,
  { address, comment }: NewOrder,
  order: Order,
): Promise<boolean> {
  const details = { address: address ?? order.address, comment: comment ?? order.comment };
  if (details.address === order.address && details.comment === order.comment) return true;
  const changed = await changeDetails(tx, { orderId: order.id, ...details });
  return changed.length > 0;
}

/**
 * Handles our own insert whose acknowledgement was lost. The order is charged unless another
 * attempt has started.
 */
function ownInsert(order: Order & { readonly payer: string }): InsertResult {
  const { id: orderId, attempts: attempt, status, dueAt } = order;
  if (status !== "pending" || attempt !== 1 || dueAt === null) {
    return { status: "repeat", order, inFlight: undefined, detailsIgnored: false };
  }
  return { status: "inserted", attempt: { ...order, orderId, attempt, dueAt } };
}

function outcomeOf({ id, status, dueAt }: Order): Outcome {
  if (status !== "pending") return { status };
  if (dueAt === null) throw new Error(`order ${id} is pending but has no due time`);
  return { status, dueAt };
}
