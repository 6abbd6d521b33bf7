import type { ChargeOutcome, Clock } from "../ports.ts";
import type { Store, Tx } from "../store/store.ts";
import type { ChargeOrder } from "./charge-order.ts";
import {
  type DueOrder,
  endRepeat,
  findConflictingOrder,
  insertPendingOrders,
  type Order,
  type OrderDraft,
  userIdIfKnown,
} from "./order-queries.ts";
import { nextAttemptAt } from "./retry-schedule.ts";

export interface CreateOrderDependencies {
  readonly store: Store;
  readonly chargeOrder: ChargeOrder;
  readonly now: Clock;
  readonly randomId: () => string;
  readonly config: { readonly paymentTimeoutMs: number; readonly orderRepeatWindowMs: number };
}

export type OrderRequest = Omit<OrderDraft, "paymentKey">;

export type OrderOutcome =
  | { readonly kind: "rejected"; readonly code: OrderError }
  | (Taken & { readonly kind: ChargeOutcome })
  /** In doubt: the provider has not said what became of the money; it is asked again at `dueAt`, in ms. */
  | (Taken & { readonly kind: "pending"; readonly dueAt: number });

interface Taken {
  readonly orderId: number;
  /** Another request made the order. */
  readonly repeated: boolean;
}

type OrderError = "user_not_found" | "tariff_not_found" | "idempotency_key_reused";

export interface OrderService {
  /**
   * Takes an order: writes it, asks the provider for its money, records the answer. A repeat makes no
   * order: it gets the answer of the one that it repeats, and waits for it while that is being paid.
   * What is returned is on disk.
   */
  createOrder(request: OrderRequest): Promise<OrderOutcome>;
  /** Resolves when the orders that are being taken now have their outcomes. */
  idle(): Promise<unknown>;
}

export function createOrderService(dependencies: CreateOrderDependencies): OrderService {
  const { store, chargeOrder, now, randomId } = dependencies;
  const { paymentTimeoutMs, orderRepeatWindowMs } = dependencies.config;

  /** The requests whose order is being paid right now, by its payment key. */
  const inFlight = new Map<string, Promise<OrderOutcome>>();

  function createOrder(request: OrderRequest): Promise<OrderOutcome> {
    const paymentKey = randomId();
    const outcome = openAndCharge({ ...request, paymentKey });
    // Known from before the row can be read until its last state can be, so that a repeat which reads
    // `pending` and finds nobody here is right to call the order in doubt.
    inFlight.set(paymentKey, outcome);
    return outcome;
  }

  async function openAndCharge(draft: OrderDraft): Promise<OrderOutcome> {
    try {
      const opening = await open(draft);
      switch (opening.kind) {
        case "rejected":
          return opening;
        case "opened": {
          const { orderId, dueAt } = opening.order;
          const kind = await chargeOrder(opening.order);
          return kind === "in doubt"
            ? { kind: "pending", orderId, dueAt, repeated: false }
            : { kind, orderId, repeated: false };
        }
        case "repeat": {
          const outcome = (await opening.inFlight) ?? outcomeOf(opening.order);
          return outcome.kind === "rejected" ? outcome : { ...outcome, repeated: true };
        }
      }
    } finally {
      inFlight.delete(draft.paymentKey);
    }
  }

  const open = store.batch(openOrders);

  async function openOrders(tx: Tx, drafts: readonly OrderDraft[]): Promise<Opening[]> {
    const createdAt = now();
    const opened = await insertPendingOrders(tx, drafts, {
      createdAt,
      // From the start, so that a crash at any later moment leaves nothing to guess.
      dueAt: nextAttemptAt(createdAt, paymentTimeoutMs, 1),
      isRepeatable: orderRepeatWindowMs > 0,
    });
    const openings: Opening[] = [];
    for (const draft of drafts) {
      const order = opened.get(draft.paymentKey);
      openings.push(
        order ? { kind: "opened", order } : await explainRejection(tx, draft, createdAt),
      );
    }
    return openings;
  }

  async function explainRejection(tx: Tx, draft: OrderDraft, createdAt: number): Promise<Opening> {
    const mayRepeat = draft.idempotencyKey !== null || orderRepeatWindowMs > 0;
    const order = mayRepeat ? await findConflictingOrder(tx, draft) : undefined;
    if (order === undefined) {
      const [user] = await userIdIfKnown(tx, { userId: draft.userId });
      return { kind: "rejected", code: user ? "tariff_not_found" : "user_not_found" };
    }
    if (order.tariffCode !== draft.tariffCode) {
      return { kind: "rejected", code: "idempotency_key_reused" };
    }
    // Either way, for a clock may be set back; and by today's window, for that may be changed.
    const isOver = Math.abs(createdAt - order.createdAt) >= orderRepeatWindowMs;
    if (order.status === "paid" && draft.idempotencyKey === null && isOver) {
      await endRepeat(tx, { orderId: order.id });
      const [opening] = await openOrders(tx, [draft]);
      if (opening !== undefined) return opening;
    }
    // A retry may have settled it before the request that made it has heard from the provider.
    const isBeingPaid = order.status === "pending";
    return {
      kind: "repeat",
      order,
      inFlight: isBeingPaid ? inFlight.get(order.paymentKey) : undefined,
    };
  }

  return { createOrder, idle: () => Promise.allSettled(inFlight.values()) };
}

type Opening =
  | { readonly kind: "opened"; readonly order: DueOrder }
  | {
      readonly kind: "repeat";
      readonly order: Order;
      /** The request that is having the order paid, if one is. */
      readonly inFlight: Promise<OrderOutcome> | undefined;
    }
  | { readonly kind: "rejected"; readonly code: OrderError };

function outcomeOf({ id: orderId, status, dueAt }: Order): OrderOutcome {
  if (status !== "pending") return { kind: status, orderId, repeated: true };
  if (dueAt === null) throw new Error(`order ${orderId} is pending, but not due`);
  return { kind: "pending", orderId, dueAt, repeated: true };
}
