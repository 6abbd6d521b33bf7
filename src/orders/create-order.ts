import { withDeadline } from "../deadline.ts";
import type { Log } from "../log.ts";
import type { Charge, ChargeOutcome, PaymentGateway } from "../ports.ts";
import type { Settings } from "../settings.ts";
import type { Store, Tx } from "../store/store.ts";
import { announceOrder, type AnnounceParts } from "./announce-orders.ts";
import {
  insertPendingOrder,
  type OrderDraft,
  type PendingOrder,
  settlePendingOrder,
  userExists,
} from "./order-records.ts";

/** The pause before the provider is asked a second time. */
const FIRST_PAUSE_MS = 1000;

export interface OrderParts extends AnnounceParts {
  readonly store: Store;
  readonly payment: PaymentGateway;
  readonly log: Log;
  /** The time in ms since 1970. */
  readonly now: () => number;
  readonly randomId: () => string;
  readonly settings: Pick<Settings, "paymentTimeoutMs" | "orderRepeatWindowMs">;
}

export interface OrderRequest {
  readonly userId: number;
  readonly tariffCode: string;
}

export type OrderOutcome =
  | { readonly kind: ChargeOutcome; readonly orderId: number }
  /** In doubt: the provider has not said what became of the money; it is asked again at `dueAt`, in ms. */
  | { readonly kind: "pending"; readonly orderId: number; readonly dueAt: number }
  | { readonly kind: "refused"; readonly code: "user_not_found" | "tariff_not_found" };

/**
 * Takes an order: writes it, asks the provider for its money, records the answer. What is returned is
 * on disk. The provider is asked only after the order is.
 */
export async function createOrder(parts: OrderParts, request: OrderRequest): Promise<OrderOutcome> {
  const now = parts.now();
  const opened = await parts.store.run((tx) =>
    openOrder(tx, {
      ...request,
      idempotencyKey: null,
      paymentKey: parts.randomId(),
      createdAt: now,
      // Written with the order, so that a crash at any later moment leaves nothing to guess.
      dueAt: now + parts.settings.paymentTimeoutMs + FIRST_PAUSE_MS,
      repeatUntil: null,
    }),
  );
  return opened.kind === "opened" ? await settleOrder(parts, opened.order) : opened;
}

type Opening =
  { readonly kind: "opened"; readonly order: PendingOrder } | (OrderOutcome & { kind: "refused" });

async function openOrder(tx: Tx, draft: OrderDraft): Promise<Opening> {
  const order = await insertPendingOrder(tx, draft);
  if (order !== undefined) return { kind: "opened", order };
  const code = (await userExists(tx, draft.userId)) ? "tariff_not_found" : "user_not_found";
  return { kind: "refused", code };
}

async function settleOrder(
  parts: OrderParts,
  { charge, dueAt }: PendingOrder,
): Promise<OrderOutcome> {
  const { orderId } = charge;
  const outcome = await ask(parts, charge);
  if (outcome === "in doubt") return { kind: "pending", orderId, dueAt };
  await parts.store.run((tx) => settlePendingOrder(tx, orderId, outcome, parts.now()));
  if (outcome === "paid") void announceOrder(parts, orderId);
  return { kind: outcome, orderId };
}

async function ask(
  { payment, settings, log }: OrderParts,
  charge: Charge,
): Promise<ChargeOutcome | "in doubt"> {
  try {
    const outcome: unknown = await withDeadline(settings.paymentTimeoutMs, (signal) =>
      payment.charge(charge, signal),
    );
    if (outcome === "paid" || outcome === "declined") return outcome;
    log.warn(`The payment provider's answer for order ${charge.orderId} is none that we know.`);
  } catch (fault) {
    log.warn(`The payment of order ${charge.orderId} is in doubt.`, fault);
  }
  return "in doubt";
}
