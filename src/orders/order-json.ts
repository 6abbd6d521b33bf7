import { type Static, Type } from "@sinclair/typebox";
import { Id, namedObject } from "../http/schemas.ts";
import {
  CANCEL_REASONS,
  type CancelReason,
  type Order,
  REFUNDS,
  type Stage,
  STAGES,
} from "../store/schema.ts";

const INSTANT = Type.String({ format: "date-time", examples: ["2026-11-23T09:30:00.000Z"] });

function nullable<Value extends string>(values: readonly Value[]) {
  return Type.Union([Type.Unsafe<Value>(Type.String({ enum: [...values] })), Type.Null()]);
}

/** An order, as clients see it. */
export const ORDER = namedObject("Order", {
  order_id: Id({ examples: [7] }),
  user_id: Id({ examples: [1] }),
  tariff_code: Type.String({ examples: ["standard_300"] }),
  amount_tiyin: Type.Integer({ minimum: 1, examples: [30_000] }),
  currency: Type.Literal("UZS"),
  status: Type.Unsafe<Order["status"]>(Type.String({ enum: ["pending", "paid", "declined"] })),
  created_at: INSTANT,
  settled_at: Type.Union([INSTANT, Type.Null()]),
  stage: nullable<Stage>(STAGES),
  stage_at: Type.Union([INSTANT, Type.Null()]),
  refund: nullable(REFUNDS),
  cancel_reason: nullable<CancelReason>(CANCEL_REASONS),
  address: Type.Union([Type.String({ examples: ["Toshkent, Chilonzor 9, 12-uy"] }), Type.Null()]),
  comment: Type.Union([Type.String({ examples: ["The bell is broken"] }), Type.Null()]),
});

/** The order in that shape. */
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
