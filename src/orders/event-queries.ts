import { and, asc, desc, eq, isNotNull, sql } from "drizzle-orm";
import type { OrderEvent } from "../store/schema.ts";
import { prepared, type ReadTx } from "../store/store.ts";

const value = sql.placeholder;

/** The last step of an order, if there was one. */
export const lastStep = prepared((tx: ReadTx, { orderEvents }) =>
  tx
    .select()
    .from(orderEvents)
    .where(and(eq(orderEvents.orderId, value("orderId")), isNotNull(orderEvents.fromStage)))
    .orderBy(desc(orderEvents.id))
    .limit(1),
);

/** Everything that was done with an order, the first first. */
export const eventsOfOrder = prepared((tx: ReadTx, { orderEvents }) =>
  tx
    .select()
    .from(orderEvents)
    .where(eq(orderEvents.orderId, value("orderId")))
    .orderBy(asc(orderEvents.id)),
);

/** What is written of an event; the row's number follows from the table. */
export type NewEvent = Omit<OrderEvent, "id" | "attempts">;

/** Writes an event down. */
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

/** Moves an order on that is still in `from`, and whose money was not given back; answers with its number if so. */
export const moveOrder = prepared((tx, { orders }) =>
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
        sql`(${orders.refund} IS NULL OR ${orders.refund} = 'owed')`,
      ),
    )
    .returning({ orderId: orders.id }),
);

/** Records that the money of a cancelled order was given back; answers with its number if it was owed. */
export const giveRefund = prepared((tx, { orders }) =>
  tx
    .update(orders)
    .set({ refund: "given" })
    .where(and(eq(orders.id, value("orderId")), eq(orders.refund, "owed")))
    .returning({ orderId: orders.id }),
);
