import type { ChargeOutcome, Clock } from "../ports.ts";
import { createRateLimit } from "../rate-limit.ts";
import { Unavailable } from "../errors.ts";
import type { Store, Tx } from "../store/store.ts";
import type { Order } from "../store/schema.ts";
import type { ChargeOrder } from "./charge-order.ts";
import type { FollowOrder } from "./follow-order.ts";
import {
  changeDetails,
  type DueOrder,
  endRepeat,
  findConflictingOrder,
  insertPendingOrders,
  type OrderDraft,
  orderByPaymentKey,
  tariffCodeIfActive,
  userIdIfKnown,
} from "./order-queries.ts";
import { leaseEndsAt } from "./retry-schedule.ts";

const HOUR_MS = 3_600_000;

/** What stands in an order's way may be gone when it is looked for: then the order is tried again, so often. */
const MAX_OPENINGS = 5;

export interface CreateOrderDependencies {
  readonly store: Store;
  readonly chargeOrder: ChargeOrder;
  readonly followOrder: FollowOrder;
  readonly now: Clock;
  readonly randomId: () => string;
  readonly config: {
    readonly paymentTimeoutMs: number;
    readonly orderRepeatWindowMs: number;
    readonly ordersPerUserPerHour: number;
  };
}

export type OrderRequest = Omit<OrderDraft, "paymentKey">;

export type OrderOutcome =
  | { readonly kind: "rejected"; readonly code: OrderError }
  /** It would be one new order too many of this user; he may order again at `retryAt`, in ms. */
  | { readonly kind: "limited"; readonly retryAt: number }
  | (Taken & { readonly kind: ChargeOutcome })
  /** In doubt: the provider has not said what became of the money; it is asked again at `dueAt`, in ms. */
  | (Taken & { readonly kind: "pending"; readonly dueAt: number });

interface Taken {
  readonly orderId: number;
  /** Another request made the order. */
  readonly repeated: boolean;
  /** The request came too late to change the order's address or comment. */
  readonly detailsIgnored: boolean;
}

const NEW = { repeated: false, detailsIgnored: false };

type OrderError = "user_not_found" | "tariff_not_found" | "idempotency_key_reused";

export interface OrderService {
  /**
   * Takes an order: writes it, asks the provider for its money, records the answer. A repeat makes no
   * order: it gets the answer of the one that it repeats, and waits for it while that is being paid.
   * Only new orders count for the limit of a user. What is returned is on disk.
   */
  createOrder(request: OrderRequest): Promise<OrderOutcome>;
  /** Resolves when the orders that are being taken now have their outcomes. */
  idle(): Promise<unknown>;
}

export function createOrderService(dependencies: CreateOrderDependencies): OrderService {
  const { store, chargeOrder, followOrder, now, randomId } = dependencies;
  const { paymentTimeoutMs, orderRepeatWindowMs, ordersPerUserPerHour } = dependencies.config;
  const newOrders = createRateLimit<number>({
    limit: ordersPerUserPerHour,
    windowMs: HOUR_MS,
    now,
  });

  /** The requests whose order is being paid right now, by its payment key. */
  const inFlight = new Map<string, Promise<OrderOutcome>>();

  function createOrder(request: OrderRequest): Promise<OrderOutcome> {
    const paymentKey = randomId();
    const outcome = takeOrder({ ...request, paymentKey });
    // Known from before the row can be read until its last state can be, so that a repeat which reads
    // `pending` and finds nobody here is right to call the order in doubt.
    inFlight.set(paymentKey, outcome);
    return outcome;
  }

  async function takeOrder(draft: OrderDraft): Promise<OrderOutcome> {
    try {
      const opening = await openWithinLimit(draft);
      switch (opening.kind) {
        case "rejected":
        case "limited":
          return opening;
        case "opened": {
          const { orderId } = opening.order;
          const result = await chargeOrder(opening.order);
          return typeof result === "string"
            ? { kind: result, orderId, ...NEW }
            : { kind: "pending", orderId, dueAt: result.dueAt, ...NEW };
        }
        case "repeat": {
          const outcome = (await opening.inFlight) ?? outcomeOf(await followOrder(opening.order));
          if (!("orderId" in outcome)) return outcome;
          return { ...outcome, repeated: true, detailsIgnored: opening.detailsIgnored };
        }
      }
    } finally {
      inFlight.delete(draft.paymentKey);
    }
  }

  async function openWithinLimit(draft: OrderDraft): Promise<Opening> {
    const { userId } = draft;
    const mayBeNew = newOrders.take(userId);
    let isNew = false;
    try {
      const opening = await open({ ...draft, mayBeNew });
      isNew = opening.kind === "opened";
      return opening;
    } finally {
      if (mayBeNew && !isNew) newOrders.giveBack(userId);
    }
  }

  const open = store.batch((tx, drafts: readonly LimitedDraft[]) => openOrders(tx, drafts, 1));

  async function openOrders(
    tx: Tx,
    drafts: readonly LimitedDraft[],
    attempt: number,
  ): Promise<Opening[]> {
    const createdAt = now();
    const mayBeNew = drafts.filter((draft) => draft.mayBeNew);
    const opened = await insertPendingOrders(tx, mayBeNew, {
      createdAt,
      // From the start, so that a crash at any later moment leaves nothing to guess.
      dueAt: leaseEndsAt(createdAt, paymentTimeoutMs),
      isRepeatable: orderRepeatWindowMs > 0,
    });
    const openings: Opening[] = [];
    for (const draft of drafts) {
      const order = opened.get(draft.paymentKey);
      openings.push(
        order ? { kind: "opened", order } : await findReason(tx, draft, createdAt, attempt),
      );
    }
    return openings;
  }

  /** Why the order was not written. */
  async function findReason(
    tx: Tx,
    draft: LimitedDraft,
    createdAt: number,
    attempt: number,
  ): Promise<Opening> {
    const { userId, tariffCode, idempotencyKey, paymentKey } = draft;
    if (store.isShared) {
      // It may have been written by this very step, whose answer was lost.
      const [own] = await orderByPaymentKey(tx, { paymentKey });
      if (own !== undefined) return asOpened(own);
    }
    const mayRepeat = idempotencyKey !== null || orderRepeatWindowMs > 0;
    const order = mayRepeat ? await findConflictingOrder(tx, draft) : undefined;
    if (order === undefined) {
      if (!draft.mayBeNew) return limited(draft);
      const [user] = await userIdIfKnown(tx, { userId });
      if (user === undefined) return { kind: "rejected", code: "user_not_found" };
      const [tariff] = await tariffCodeIfActive(tx, { tariffCode });
      if (tariff === undefined) return { kind: "rejected", code: "tariff_not_found" };
      return openAgain(tx, draft, attempt);
    }
    if (order.tariffCode !== tariffCode) {
      return { kind: "rejected", code: "idempotency_key_reused" };
    }
    // Absolute, because the clock may be set back. Today's window counts, not the one at the order's time.
    const isOver = Math.abs(createdAt - order.createdAt) >= orderRepeatWindowMs;
    // By the stage of this moment, so that an undone cancellation is repeated again.
    const isClosed = order.stage === "completed" || order.stage === "cancelled";
    if (order.status === "paid" && idempotencyKey === null && (isOver || isClosed)) {
      await endRepeat(tx, { orderId: order.id });
      return openAgain(tx, draft, attempt);
    }
    const detailsIgnored = !(await takeDetails(tx, draft, order));
    // A retry may have settled it before the request that made it has heard from the provider.
    const isBeingPaid = order.status === "pending";
    return {
      kind: "repeat",
      order,
      inFlight: isBeingPaid ? inFlight.get(order.paymentKey) : undefined,
      detailsIgnored,
    };
  }

  /** Stores the address and comment of a repeat. False if it is too late: a dispatcher has accepted the order. */
  async function takeDetails(
    tx: Tx,
    { address, comment }: OrderDraft,
    order: Order,
  ): Promise<boolean> {
    const isSame =
      (address ?? order.address) === order.address && (comment ?? order.comment) === order.comment;
    if (isSame) return true;
    const changed = await changeDetails(tx, {
      orderId: order.id,
      address: address ?? order.address,
      comment: comment ?? order.comment,
    });
    return changed.length > 0;
  }

  async function openAgain(tx: Tx, draft: LimitedDraft, attempt: number): Promise<Opening> {
    if (attempt === MAX_OPENINGS) throw new Unavailable("an order meets one that is not there");
    const [opening] = await openOrders(tx, [draft], attempt + 1);
    if (opening === undefined) throw new Error("an order that was tried has no outcome");
    return opening;
  }

  function limited({ userId }: OrderDraft): Opening {
    return { kind: "limited", retryAt: newOrders.renewsAt(userId) };
  }

  return { createOrder, idle: () => Promise.allSettled(inFlight.values()) };
}

/** An order that may turn out to be a repeat, and must where it may not be new. */
interface LimitedDraft extends OrderDraft {
  readonly mayBeNew: boolean;
}

type Opening =
  | { readonly kind: "opened"; readonly order: DueOrder }
  | {
      readonly kind: "repeat";
      readonly order: Order;
      /** The request that is having the order paid, if one is. */
      readonly inFlight: Promise<OrderOutcome> | undefined;
      readonly detailsIgnored: boolean;
    }
  | Exclude<OrderOutcome, Taken>;

/** An order of our own that was there already: ours to charge, unless another attempt has begun since. */
function asOpened(order: Order & { readonly payer: string }): Opening {
  const { id: orderId, attempts: attempt, status, dueAt } = order;
  if (status !== "pending" || attempt !== 1 || dueAt === null) {
    return { kind: "repeat", order, inFlight: undefined, detailsIgnored: false };
  }
  return { kind: "opened", order: { ...order, orderId, attempt, dueAt } };
}

function outcomeOf({ id: orderId, status, dueAt }: Order): OrderOutcome {
  const taken = { orderId, repeated: true, detailsIgnored: false };
  if (status !== "pending") return { kind: status, ...taken };
  if (dueAt === null) throw new Error(`order ${orderId} is pending, but not due`);
  return { kind: "pending", ...taken, dueAt };
}
