import type { ChargeOutcome } from "../ports.ts";
import type { Settings } from "../settings.ts";
import type { Store, Tx } from "../store/store.ts";
import { pauseMs } from "./due-orders.ts";
import {
  type DueOrder,
  endRepeat,
  insertPendingOrder,
  type Order,
  type OrderDraft,
  orderInTheWay,
  userExists,
} from "./order-records.ts";
import type { Settler } from "./settle-orders.ts";

export interface OrderParts {
  readonly store: Store;
  readonly settler: Settler;
  /** The requests that are having an order paid right now, by the order's payment key. */
  readonly underway: Map<string, Promise<OrderOutcome>>;
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

/**
 * Takes an order: writes it, asks the provider for its money, records the answer. A repeat makes no
 * order: it gets the answer of the one that it repeats, and waits for it while that is being paid. What
 * is returned is on disk.
 */
export async function createOrder(parts: OrderParts, request: OrderRequest): Promise<OrderOutcome> {
  const paymentKey = parts.randomId();
  const outcome = takeOrder(parts, request, paymentKey);
  // Known from before the row can be read until after its last state can be, so that a repeat which
  // reads `pending` and finds nobody here is right to call the order in doubt.
  parts.underway.set(paymentKey, outcome);
  try {
    return await outcome;
  } finally {
    parts.underway.delete(paymentKey);
  }
}

async function takeOrder(
  parts: OrderParts,
  request: OrderRequest,
  paymentKey: string,
): Promise<OrderOutcome> {
  const { paymentTimeoutMs, orderRepeatWindowMs } = parts.settings;
  const now = parts.now();
  const repeatable = request.idempotencyKey === null && orderRepeatWindowMs > 0;
  const draft: OrderDraft = {
    ...request,
    paymentKey,
    createdAt: now,
    // From the start, so that a crash at any later moment leaves nothing to guess.
    dueAt: now + paymentTimeoutMs + pauseMs(1),
    repeatUntil: repeatable ? now + orderRepeatWindowMs : null,
  };
  const opening = await parts.store.run((tx) =>
    openOrder(tx, draft, orderRepeatWindowMs, parts.underway),
  );
  switch (opening.kind) {
    case "refused":
      return opening;
    case "opened": {
      const { orderId, dueAt } = opening.order;
      const kind = await parts.settler.settle(opening.order);
      if (kind === "in doubt") return { kind: "pending", orderId, dueAt };
      return { kind, orderId, repeated: false };
    }
    case "repeat": {
      const outcome = (await opening.underway) ?? outcomeOf(opening.order);
      return "repeated" in outcome ? { ...outcome, repeated: true } : outcome;
    }
  }
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

async function openOrder(
  tx: Tx,
  draft: OrderDraft,
  repeatWindowMs: number,
  underway: OrderParts["underway"],
): Promise<Opening> {
  const opened = await insertPendingOrder(tx, draft);
  if (opened !== undefined) return { kind: "opened", order: opened };

  const order = await orderInTheWay(tx, draft);
  if (order === undefined) {
    const code = (await userExists(tx, draft.userId)) ? "tariff_not_found" : "user_not_found";
    return { kind: "refused", code };
  }
  if (order.tariffCode !== draft.tariffCode) {
    return { kind: "refused", code: "idempotency_key_reused" };
  }
  // Either way, for a clock may be set back; and by today's window, for that may be changed.
  const isOver = Math.abs(draft.createdAt - order.createdAt) >= repeatWindowMs;
  if (order.status === "paid" && draft.idempotencyKey === null && isOver) {
    await endRepeat(tx, order.id);
    return openOrder(tx, draft, repeatWindowMs, underway);
  }
  return { kind: "repeat", order, underway: underway.get(order.paymentKey) };
}

function outcomeOf({ id: orderId, status, dueAt }: Order): OrderOutcome {
  if (status !== "pending") return { kind: status, orderId, repeated: true };
  if (dueAt === null) throw new Error(`order ${orderId} is pending, but not due`);
  return { kind: "pending", orderId, dueAt };
}
