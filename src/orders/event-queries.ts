import { and, asc, desc, eq, isNotNull, sql } from "drizzle-orm";
import type { OrderEvent } from "../store/schema.ts";
import { prepared, type ReadTx } from "../store/store.ts";

const value = sql.placeholder;

/** Selects the last transition of an order. */
export const lastTransition = prepared((tx: ReadTx, { orderEvents }) =>
  tx
    .select()
    .from(orderEvents)
    .where(and(eq(orderEvents.orderId, value("orderId")), isNotNull(orderEvents.fromStage)))
    .orderBy(desc(orderEvents.id))
    .limit(1),
);

/** Selects all events of an order, oldest first. */
export const eventsOfOrder = prepared((tx: ReadTx, { orderEvents }) =>
  tx
    .select()
    .from(orderEvents)
    .where(eq(orderEvents.orderId, value("orderId")))
    .orderBy(asc(orderEvents.id)),
);

/** An event to insert; the database assigns its id. */
export type NewEvent = Omit<OrderEvent, "id" | "attempts">;

export const insertEvent = prepared((tx, { orderEvents }) =>
  tx.insert(orderEvents).values({
    orderId: value("orderId"),
    at: value("at"),
    actor: value("actor"),
    kind: value("kind"),
    fromStage: value("fromStage"),
    toStage: value("toStage"),
    reason: value("reason"),
    note: value("note"),
    dueAt: value("dueAt"),
    attempts: 0,
  }),
);

/**
 * Changes the stage of an order that is still in `from`, since `fromAt`, and not refunded. Returns
 * the order's id if it changed.
 */
export const setStage = prepared((tx, { orders }) =>
  tx
    .update(orders)
    .set({
      stage: sql`${value("to")}`,
      stageAt: sql`${value("at")}`,
      refund: sql`${value("refund")}`,
      cancelReason: sql`${value("reason")}`,
    })
    .where(
      and(
        eq(orders.id, value("orderId")),
        sql`${orders.stage} = ${value("from")}`,
        eq(orders.stageAt, value("fromAt")),
        sql`(${orders.refund} IS NULL OR ${orders.refund} = 'owed')`,
      ),
    )
    .returning({ orderId: orders.id }),
);

/**
 * Records an owed refund as given, if the order is in its stage since `fromAt`. Returns the order's
 * id if it changed.
 */
export const markRefunded = prepared((tx, { orders }) =>
  tx
    .update(orders)
    .set({ refund: "given" })
    .where(
      and(
        eq(orders.id, value("orderId")),
        eq(orders.refund, "owed"),
        eq(orders.stageAt, value("fromAt")),
      ),
    )
    .returning({ orderId: orders.id }),
);
