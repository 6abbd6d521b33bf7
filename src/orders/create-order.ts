import type { ChargeOutcome } from "../ports.ts";
import type { Settings } from "../settings.ts";
import type { Store, Tx } from "../store/store.ts";
import { pauseMs } from "./due-orders.ts";
import {
  type DueOrder,
  endRepeat,
  insertPendingOrders,
  type Order,
  type OrderDraft,
  orderInTheWay,
  userExists,
} from "./order-records.ts";
import type { Settler } from "./settle-orders.ts";

export interface OrderDeskParts {
  readonly store: Store;
  readonly settler: Settler;
  /** The time in ms since 1970. */
  readonly now: () => number;
  readonly randomId: () => string;
  readonly settings: Pick<Settings, "paymentTimeoutMs" | "orderRepeatWindowMs">;
}

export interface OrderRequest {
  readonly userId: number;
  readonly tariffCode: string;
  readonly idempotencyKey: string | null;
}

export type OrderOutcome =
  /** `repeated`: it was another request that made the order. */
  | { readonly kind: ChargeOutcome; readonly orderId: number; readonly repeated: boolean }
  /** In doubt: the provider has not said what became of the money; it is asked again at `dueAt`, in ms. */
  | { readonly kind: "pending"; readonly orderId: number; readonly dueAt: number }
  | { readonly kind: "refused"; readonly code: OrderRefusal };

type OrderRefusal = "user_not_found" | "tariff_not_found" | "idempotency_key_reused";

export interface OrderDesk {
  /**
   * Takes an order: writes it, asks the provider for its money, records the answer. A repeat makes no
   * order: it gets the answer of the one that it repeats, and waits for it while that is being paid.
   * What is returned is on disk.
   */
  createOrder(request: OrderRequest): Promise<OrderOutcome>;
  /** Resolves when the orders that are being taken now have their outcomes. */
  idle(): Promise<unknown>;
}

/** Where orders are taken. */
export function createOrderDesk(parts: OrderDeskParts): OrderDesk {
  const { store, settler, now, randomId } = parts;
  const { paymentTimeoutMs, orderRepeatWindowMs } = parts.settings;

  /** The requests that are having an order paid right now, by the order's payment key. */
  const underway = new Map<string, Promise<OrderOutcome>>();

  function createOrder(request: OrderRequest): Promise<OrderOutcome> {
    const paymentKey = randomId();
    const outcome = takeOrder(request, paymentKey);
    // Known from before the row can be read until its last state can be, so that a repeat which reads
    // `pending` and finds nobody here is right to call the order in doubt.
    underway.set(paymentKey, outcome);
    return outcome;
  }

  async function takeOrder(request: OrderRequest, paymentKey: string): Promise<OrderOutcome> {
    try {
      const opening = await open({ ...request, paymentKey });
      switch (opening.kind) {
        case "refused":
          return opening;
        case "opened": {
          const { orderId, dueAt } = opening.order;
          const kind = await settler.settle(opening.order);
          if (kind === "in doubt") return { kind: "pending", orderId, dueAt };
          return { kind, orderId, repeated: false };
        }
        case "repeat": {
          const outcome = (await opening.underway) ?? outcomeOf(opening.order);
          return "repeated" in outcome ? { ...outcome, repeated: true } : outcome;
        }
      }
    } finally {
      underway.delete(paymentKey);
    }
  }

  const open = store.grouped(openOrders);

  async function openOrders(tx: Tx, drafts: readonly OrderDraft[]): Promise<Opening[]> {
    const createdAt = now();
    const opened = await insertPendingOrders(tx, drafts, {
      createdAt,
      // From the start, so that a crash at any later moment leaves nothing to guess.
      dueAt: createdAt + paymentTimeoutMs + pauseMs(1),
      repeatUntil: orderRepeatWindowMs > 0 ? createdAt + orderRepeatWindowMs : null,
    });
    const openings: Opening[] = [];
    for (const draft of drafts) {
      const order = opened.get(draft.paymentKey);
      openings.push(order ? { kind: "opened", order } : await whyNotOpened(tx, draft, createdAt));
    }
    return openings;
  }

  async function whyNotOpened(tx: Tx, draft: OrderDraft, createdAt: number): Promise<Opening> {
    const mayRepeat = draft.idempotencyKey !== null || orderRepeatWindowMs > 0;
    const order = mayRepeat ? await orderInTheWay(tx, draft) : undefined;
    if (order === undefined) {
      const code = (await userExists(tx, draft.userId)) ? "tariff_not_found" : "user_not_found";
      return { kind: "refused", code };
    }
    if (order.tariffCode !== draft.tariffCode) {
      return { kind: "refused", code: "idempotency_key_reused" };
    }
    // Either way, for a clock may be set back; and by today's window, for that may be changed.
    const isOver = Math.abs(createdAt - order.createdAt) >= orderRepeatWindowMs;
    if (order.status === "paid" && draft.idempotencyKey === null && isOver) {
      await endRepeat(tx, order.id);
      const [opening] = await openOrders(tx, [draft]);
      if (opening !== undefined) return opening;
    }
    return { kind: "repeat", order, underway: underway.get(order.paymentKey) };
  }

  return { createOrder, idle: () => Promise.allSettled(underway.values()) };
}

type Opening =
  | { readonly kind: "opened"; readonly order: DueOrder }
  | {
      readonly kind: "repeat";
      readonly order: Order;
      /** The request that is having the order paid, if one is. */
      readonly underway: Promise<OrderOutcome> | undefined;
    }
  | { readonly kind: "refused"; readonly code: OrderRefusal };

function outcomeOf({ id: orderId, status, dueAt }: Order): OrderOutcome {
  if (status !== "pending") return { kind: status, orderId, repeated: true };
  if (dueAt === null) throw new Error(`order ${orderId} is pending, but not due`);
  return { kind: "pending", orderId, dueAt };
}
