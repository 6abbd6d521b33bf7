import { type Static, Type } from "@sinclair/typebox";
import { Id, namedObject, nullable } from "../http/schemas.ts";
import {
  CANCEL_REASONS,
  type CancelReason,
  type Order,
  REFUNDS,
  type Stage,
  STAGES,
} from "../store/schema.ts";

const INSTANT = { format: "date-time", examples: ["2026-11-23T09:30:00.000Z"] };

function oneOf<Value extends string>(values: readonly Value[]) {
  return Type.Unsafe<Value>(Type.String({ enum: [...values] }));
}

/** The schema of an order in responses and webhooks. */
export const ORDER = namedObject("Order", {
  order_id: Id({ description: "The order's id.", examples: [7] }),
  user_id: Id({ description: "The id of the user who ordered.", examples: [1] }),
  tariff_code: Type.String({
    description: "The code of the ordered tariff.",
    examples: ["standard_300"],
  }),
  amount_tiyin: Type.Integer({
    description: "The tariff's price when the order was created, in tiyin; 1 sum is 100 tiyin.",
    minimum: 1,
    examples: [30_000],
  }),
  currency: Type.Literal("UZS", { description: "Always UZS, the Uzbek sum." }),
  status: Type.Unsafe<Order["status"]>(
    Type.String({
      description: "The payment's status. Pending means in progress or in doubt.",
      enum: ["pending", "paid", "declined"],
    }),
  ),
  created_at: Type.String({ ...INSTANT, description: "When the order was created." }),
  settled_at: nullable(
    Type.String(INSTANT),
    "When the payment was settled as paid or declined; null while it is pending.",
  ),
  stage: nullable(oneOf<Stage>(STAGES), "The stage of the visit; null unless the order is paid."),
  stage_at: nullable(
    Type.String(INSTANT),
    "When the stage last changed; null unless the order is paid.",
  ),
  refund: nullable(
    oneOf(REFUNDS),
    "The refund of a cancelled order, owed or given; null if no refund is due.",
  ),
  cancel_reason: nullable(
    oneOf<CancelReason>(CANCEL_REASONS),
    "Why a dispatcher cancelled the order; null unless it is cancelled.",
  ),
  address: nullable(
    Type.String({ examples: ["Toshkent, Chilonzor 9, 12-uy"] }),
    "The address of the visit; null if none was given.",
  ),
  comment: nullable(
    Type.String({ examples: ["The bell is broken"] }),
    "The customer's note to the specialist; null if none was given.",
  ),
});

/** Converts an order's row to the `ORDER` schema. */
export function toOrderJson(order: Order): Static<typeof ORDER> {
  return {
    order_id: order.id,
    user_id: order.userId,
    tariff_code: order.tariffCode,
    amount_tiyin: order.amountTiyin,
    currency: "UZS",
    status: order.status,
    created_at: new Date(order.createdAt).toISOString(),
    settled_at: instantOf(order.settledAt),
    stage: order.stage,
    stage_at: instantOf(order.stageAt),
    refund: order.refund,
    cancel_reason: order.cancelReason,
    address: order.address,
    comment: order.comment,
  };
}

function instantOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

// Examples for the OpenAPI document. They are complete orders, because examples of single fields
// could combine into an impossible order.

const COMMON = {
  user_id: 1,
  tariff_code: "standard_300",
  amount_tiyin: 30_000,
  currency: "UZS",
  address: "Toshkent, Chilonzor 9, 12-uy",
  comment: null,
} as const;

const PAID = {
  ...COMMON,
  order_id: 7,
  status: "paid",
  created_at: "2026-11-23T09:30:00.000Z",
  settled_at: "2026-11-23T09:30:01.042Z",
  stage: "new",
  stage_at: "2026-11-23T09:30:01.042Z",
  refund: null,
  cancel_reason: null,
} as const;

const PENDING = {
  ...COMMON,
  order_id: 8,
  status: "pending",
  comment: "The bell is broken",
  created_at: "2026-11-24T16:05:12.310Z",
  settled_at: null,
  stage: null,
  stage_at: null,
  refund: null,
  cancel_reason: null,
} as const;

const CANCELLED = {
  ...COMMON,
  order_id: 5,
  status: "paid",
  created_at: "2026-11-22T11:02:40.118Z",
  settled_at: "2026-11-22T11:02:41.160Z",
  stage: "cancelled",
  stage_at: "2026-11-22T11:20:05.500Z",
  refund: "owed",
  cancel_reason: "no_specialist",
} as const;

/** Examples of one order. */
export const ORDER_EXAMPLES = {
  paid: { summary: "Paid; no dispatcher has accepted it yet", value: PAID },
  pending: { summary: "The payment is in progress or in doubt", value: PENDING },
  cancelled: { summary: "Paid and cancelled; the customer is owed a refund", value: CANCELLED },
} satisfies Record<string, { summary: string; value: Static<typeof ORDER> }>;

/** Examples of a user's orders, newest first. */
export const ORDER_LIST_EXAMPLES = {
  orders: { summary: "Three orders of one user", value: [PENDING, PAID, CANCELLED] },
};
