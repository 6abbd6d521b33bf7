import type { Static } from "@sinclair/typebox";
import type { ORDER } from "./order-json.ts";

// Examples for the OpenAPI document. They are complete orders, because examples of single fields
// could add up to an impossible one.

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
  cancelled: { summary: "Paid and cancelled; the money is owed to the customer", value: CANCELLED },
} satisfies Record<string, { summary: string; value: Static<typeof ORDER> }>;

/** Examples of a user's orders, newest first. */
export const ORDER_LIST_EXAMPLES = {
  orders: { summary: "Three orders of one user", value: [PENDING, PAID, CANCELLED] },
};
