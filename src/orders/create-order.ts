import type { Needs } from "../dependencies.ts";
import { Unavailable } from "../errors.ts";
import { pause } from "../lib/pause.ts";
import { createRateLimit } from "../lib/rate-limit.ts";
import { TimeoutExceeded, withTimeout } from "../lib/with-timeout.ts";
import type { ChargeOutcome } from "../ports.ts";
import type { Order } from "../store/schema.ts";
import type { Attempt } from "./order-jobs.ts";
import { orderById } from "./order-queries.ts";
import { createInsertOrder, hasDetails, type Rejection } from "./insert-order.ts";
import type { NewOrder, OrderRequest } from "./pending-orders.ts";
import { latestDueAt, leaseEndsAt } from "./retry-schedule.ts";
import type { Rescheduled } from "./worker.ts";

const HOUR_MS = 3_600_000;

/** Poll interval of a repeat that waits for another process. */
const POLL_MS = 50;

interface CreateOrderDependencies extends Needs<
  "store" | "now" | "randomId",
  "paymentTimeoutMs" | "orderRepeatWindowMs" | "ordersPerUserPerHour"
> {
  /** Makes the first charge attempt. */
  readonly chargeOrder: (
    attempt: Attempt,
  ) => Promise<{ readonly status: ChargeOutcome } | Rescheduled>;
  /** Ends the waits for other processes when it aborts. */
  readonly cutoff: AbortSignal;
}

/** The result on disk: `pending` if the payment is in doubt; the next attempt is due at `dueAt`. */
type Outcome =
  | Rejection
  | (({ readonly status: ChargeOutcome } | Rescheduled) & {
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
  createOrder(request: OrderRequest): Promise<Outcome>;
  /** Resolves when all running calls of `createOrder` have settled. */
  idle(): Promise<unknown>;
}

export function createCreateOrder(dependencies: CreateOrderDependencies): CreateOrder {
  const { store, chargeOrder, cutoff, now, randomId } = dependencies;
  const { paymentTimeoutMs, ordersPerUserPerHour: limit } = dependencies.config;
  const newOrders = createRateLimit<number>({ limit, windowMs: HOUR_MS, now });
  const insertOrder = createInsertOrder({ ...dependencies, retryAt: newOrders.renewsAt });
  const insert = store.isShared ? insertListed : insertOrder;
  /**
   * The user of each running insert that has taken a use of the limit. Only for a shared store:
   * others run inserts in turn, and the list costs 1.5 µs per order.
   */
  const inserting = new Map<Promise<unknown>, number>();
  /**
   * Requests in progress in this process, by payment key. A repeat waits for the entry of its
   * order, which works even if the clock jumps or the store fails. Repeats of other processes'
   * orders poll the row. An entry is added before its row is visible and removed after the first
   * charge attempt, or when its lease ends. No request here waits for the payment of a pending row
   * without an entry.
   */
  const inFlight = new Map<string, Promise<Outcome>>();

  function createOrder(request: OrderRequest, isSecondTry = false): Promise<Outcome> {
    const paymentKey = randomId();
    const withinLimit = newOrders.take(request.userId);
    const result = process({ ...request, paymentKey, withinLimit }, isSecondTry);
    inFlight.set(paymentKey, result);
    return result;
  }

  function insertListed(request: NewOrder) {
    const running = insertOrder(request);
    if (!request.withinLimit) return running;
    inserting.set(running, request.userId);
    const end = () => void inserting.delete(running);
    running.then(end, end);
    return running;
  }

  function insertsOf(userId: number) {
    const running = Array.from(inserting).filter(([, user]) => user === userId);
    return running.map(([insert]) => insert);
  }

  // A single async function for a new order: each one costs 0.5 µs.
  async function process(request: NewOrder, isSecondTry: boolean): Promise<Outcome> {
    let isLimitUsed = request.withinLimit;
    const others = isLimitUsed ? [] : insertsOf(request.userId);
    try {
      const result = await insert(request);
      if ("attempt" in result) {
        isLimitUsed = false;
        const { orderId } = result;
        const charged = await (store.isShared ? chargeWithinLease(result) : chargeOrder(result));
        // A retry may have settled the order, if the clock has jumped. If the store has just failed,
        // reading would only delay the response.
        const mayBeSettled = charged.status === "pending" && !charged.storeFailed;
        const order = mayBeSettled ? await read(orderId) : undefined;
        const outcome = order === undefined ? charged : outcomeOf(order);
        return { ...outcome, orderId, isRepeat: false, detailsIgnored: false };
      }
      if (isLimitUsed) newOrders.giveBack(request.userId);
      isLimitUsed = false;
      if (result.status !== "rejected") return await repeat(request, result);
      // The last uses may have been taken by repeats, which give them back, or by the order that
      // this request repeats, which was not committed yet.
      const mayTryAgain = store.isShared ? others.length > 0 : !isSecondTry;
      if (result.code !== "too_many_orders" || !mayTryAgain) return result;
      await Promise.allSettled(others);
      return await createOrder(request, true);
    } finally {
      // The insert has failed.
      if (isLimitUsed) newOrders.giveBack(request.userId);
      inFlight.delete(request.paymentKey);
    }
  }

  /**
   * Charges the order. If PostgreSQL stalls, recording the outcome can take 10 s: the payment is in
   * doubt once the lease ends.
   */
  async function chargeWithinLease(attempt: Attempt) {
    try {
      return await withTimeout(attempt.dueAt - now(), () => chargeOrder(attempt));
    } catch (error) {
      if (!(error instanceof TimeoutExceeded)) throw error;
      return { status: "pending", dueAt: attempt.dueAt, storeFailed: true } as const;
    }
  }

  /** Returns the outcome of the order that the request repeats. */
  async function repeat(request: NewOrder, order: Order): Promise<Outcome> {
    // True if the acknowledgement of this request's insert was lost.
    const isOwn = order.paymentKey === request.paymentKey;
    const answer = {
      orderId: order.id,
      isRepeat: !isOwn,
      detailsIgnored: !isOwn && !hasDetails(order, request),
    };
    if (order.status !== "pending") return { ...outcomeOf(order), ...answer };
    // This request's own entry would never settle.
    const first = isOwn ? undefined : await inFlight.get(order.paymentKey);
    if (first?.status === "rejected") return first;
    return { ...(first ?? outcomeOf(await waitForFirstAttempt(order))), ...answer };
  }

  /**
   * Returns the order once its first charge attempt has ended: in another process, or here since
   * the order was read.
   */
  async function waitForFirstAttempt(found: Order): Promise<Order> {
    let order = found;
    for (;;) {
      order = (await read(found.id)) ?? order;
      if (!store.isShared || !isFirstAttempt(order) || cutoff.aborted) return order;
      await pause(POLL_MS, cutoff);
    }
  }

  /** Returns the order's row; undefined if the store is unavailable. */
  async function read(orderId: number): Promise<Order | undefined> {
    try {
      const [order] = await store.read((tx) => orderById(tx, { orderId }));
      return order;
    } catch (error) {
      if (error instanceof Unavailable) return undefined;
      throw error;
    }
  }

  /** Returns whether the first attempt's lease has not ended. */
  function isFirstAttempt({ status, attempts, createdAt, dueAt }: Order): boolean {
    // A rescheduled order has a different due time.
    const endsAt = leaseEndsAt(createdAt, paymentTimeoutMs);
    if (status !== "pending" || attempts !== 1 || dueAt !== endsAt) return false;
    // A later end means that the clock was set back.
    return now() < endsAt && endsAt <= latestDueAt(now(), paymentTimeoutMs);
  }

  return { createOrder, idle: () => Promise.allSettled(inFlight.values()) };
}

function outcomeOf({ id, status, dueAt }: Order) {
  if (status !== "pending") return { status };
  if (dueAt === null) throw new Error(`order ${id} is pending but has no due time`);
  return { status, dueAt };
}
