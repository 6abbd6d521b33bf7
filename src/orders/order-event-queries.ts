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

/** Makes the events that are due later than `after` due `now`, and returns their ids. */
export const makeAllEventsDue = prepared((tx, { orderEvents }, { skipLocked }) =>
  tx
    .update(orderEvents)
    .set({ dueAt: sql`${value("now")}` })
    .where(
      sql`${orderEvents.id} IN (
        SELECT id FROM order_events WHERE due_at > ${value("after")} ${skipLocked}
      )`,
    )
    .returning({ eventId: orderEvents.id }),
);

/** Claims the first `limit` events that are due by `now` for one more attempt until `dueAt`, and returns them. */
export const claimDueEvents = prepared((tx, { orderEvents }, { skipLocked }) =>
  tx
    .update(orderEvents)
    .set({ attempts: sql`${orderEvents.attempts} + 1`, dueAt: sql`${value("dueAt")}` })
    .where(
      sql`${orderEvents.id} IN (
        SELECT id FROM order_events
        WHERE due_at <= ${value("now")}
        ORDER BY due_at LIMIT ${value("limit")} ${skipLocked}
      )`,
    )
    .returning(),
);

/** Has an event be due then, or no more; what another attempt has begun since stays as it is. */
export const setEventDue = prepared((tx, { orderEvents }) =>
  tx
    .update(orderEvents)
    .set({ dueAt: sql`CAST(${value("dueAt")} AS bigint)` })
    .where(and(eq(orderEvents.id, value("id")), eq(orderEvents.attempts, value("attempts")))),
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
