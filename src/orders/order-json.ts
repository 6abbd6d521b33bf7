import { type Static, Type } from "@sinclair/typebox";
import { Id } from "../http/schemas.ts";
import type { Order } from "../store/schema.ts";

const INSTANT = Type.String({ format: "date-time", examples: ["2026-11-23T09:30:00.000Z"] });

/** An order, as clients see it. */
export const ORDER = Type.Object({
  order_id: Id({ examples: [7] }),
  user_id: Id({ examples: [1] }),
  tariff_code: Type.String({ examples: ["standard_300"] }),
  amount_tiyin: Type.Integer({ minimum: 1, examples: [30_000] }),
  currency: Type.Literal("UZS"),
  status: Type.Unsafe<Order["status"]>(Type.String({ enum: ["pending", "paid", "declined"] })),
  created_at: INSTANT,
  settled_at: Type.Union([INSTANT, Type.Null()]),
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
    settled_at: order.settledAt === null ? null : new Date(order.settledAt).toISOString(),
  };
}
