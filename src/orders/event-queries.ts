import { and, asc, desc, eq, isNotNull, sql } from "drizzle-orm";
import type { OrderEvent } from "../store/schema.ts";
import { prepared, type ReadTx, type Tx } from "../store/store.ts";
import { MAX_WOKEN } from "./retry-schedule.ts";
import type { Jobs, Leased } from "./worker.ts";

/** One attempt to deliver an event to the webhook. */
export type Delivery = OrderEvent & Leased;

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
 * Changes the stage of an order that has been in `from` since `fromAt` and is not refunded. Returns
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
 * Records an owed refund as given if the order has been in its stage since `fromAt`. Returns the
 * order's id if it changed.
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

// Deliveries to the webhook

/**
 * Sets the due time of events that are due later than `after` to `now`, at most `MAX_WOKEN` of
 * them, the earliest first. Returns their ids.
 */
const makeEventsDue = prepared((tx, { orderEvents }, { skipLocked }) =>
  tx
    .update(orderEvents)
    .set({ dueAt: sql`${value("now")}` })
    .where(
      sql`${orderEvents.id} IN (
        SELECT id FROM order_events WHERE due_at > ${value("after")}
        ORDER BY due_at LIMIT ${sql.raw(String(MAX_WOKEN))} ${skipLocked}
      )`,
    )
    .returning({ eventId: orderEvents.id }),
);

/**
 * Claims up to `limit` events that are due by `now`: counts the attempt and leases them until
 * `dueAt`.
 */
const claimDueEvents = prepared((tx, { orderEvents }, { skipLocked }) =>
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

/**
 * Sets an event's due time; null if it was delivered. Does nothing if another attempt has claimed
 * it.
 */
const setEventDue = prepared((tx, { orderEvents }) =>
  tx
    .update(orderEvents)
    .set({
      dueAt: sql`CAST(${value("dueAt")} AS bigint)`,
      attempts: sql`CAST(${value("attempts")} AS bigint)`,
    })
    .where(and(eq(orderEvents.id, value("id")), eq(orderEvents.attempts, value("attempt")))),
);

/** Records that this attempt delivered the event. */
export function markDelivered(tx: Tx, { id, attempt }: { id: number; attempt: number }) {
  return setEventDue(tx, { id, attempt, attempts: attempt, dueAt: null });
}

/** Deliveries of events to the webhook. */
export const webhookJobs: Jobs<Delivery> = {
  name: "webhook event",
  idOf: ({ id }) => id,
  async claim(tx, values) {
    const events = await claimDueEvents(tx, values);
    return events.map((event) => ({ ...event, attempt: event.attempts, dueAt: values.dueAt }));
  },
  makeDue: makeEventsDue,
  async reschedule(tx, reschedules) {
    for (const { job, dueAt, attempts } of reschedules) {
      await setEventDue(tx, { id: job.id, attempt: job.attempt, dueAt, attempts });
    }
  },
};
