import { and, eq, isNotNull, sql } from "drizzle-orm";
import type { OrderEvent } from "../store/schema.ts";
import { prepared, type Tx } from "../store/store.ts";
import type { Notification } from "./notify-dispatcher.ts";
import { type Attempt, payer, tariffTitle } from "./order-queries.ts";
import type { Jobs, Leased, Reschedule } from "./worker.ts";

// Queries on rows that workers claim and reschedule. `due_at` is the time of the row's next action,
// or the lease end of a running attempt.

const value = sql.placeholder;

const claimDueOrders = prepared((tx, { orders }, { skipLocked }) =>
  tx
    .update(orders)
    .set({ attempts: sql`${orders.attempts} + 1`, dueAt: sql`${value("dueAt")}` })
    .where(
      sql`${orders.id} IN (
        SELECT id FROM orders WHERE status = ${value("status")} AND due_at <= ${value("now")}
        ORDER BY due_at LIMIT ${value("limit")} ${skipLocked}
      )`,
    )
    .returning({
      orderId: orders.id,
      paymentKey: orders.paymentKey,
      amountTiyin: orders.amountTiyin,
      payer,
      createdAt: orders.createdAt,
      attempt: orders.attempts,
      tariffTitle,
      paidAt: sql`coalesce(${orders.settledAt}, ${orders.createdAt})`.mapWith(Number),
    }),
);

/**
 * Sets the due time of orders in `status` that are due later than `after` to `now`. Returns their
 * ids.
 */
export const makeOrdersDue = prepared((tx, { orders }, { skipLocked }) =>
  tx
    .update(orders)
    .set({ dueAt: sql`${value("now")}` })
    .where(
      sql`${orders.id} IN (
        SELECT id FROM orders WHERE status = ${value("status")} AND due_at > ${value("after")} ${skipLocked}
      )`,
    )
    .returning({ orderId: orders.id }),
);

/**
 * Ends leases, given as JSON arrays: order id, status, attempt, new due time, new attempt count.
 * Skips orders that another attempt has settled or claimed since.
 */
const rescheduleOrders = prepared((tx, { orders }, { jsonEach }) =>
  tx
    .update(orders)
    .set({
      dueAt: sql`CAST(lease.value->>3 AS bigint)`,
      attempts: sql`CAST(lease.value->>4 AS bigint)`,
    })
    .from(sql`${jsonEach(value("leases"))} AS lease`)
    .where(
      and(
        sql`${orders.id} = CAST(lease.value->>0 AS bigint)`,
        sql`${orders.status} = lease.value->>1`,
        sql`${orders.attempts} = CAST(lease.value->>2 AS bigint)`,
        isNotNull(orders.dueAt),
      ),
    ),
);

/** Jobs for orders in one status: charges of pending ones, notifications of paid ones. */
function jobsInStatus(name: string, status: "pending" | "paid") {
  return {
    name,
    idOf: ({ orderId }: { readonly orderId: number }) => orderId,
    async claim(tx: Tx, values: { now: number; dueAt: number; limit: number }) {
      const claimed = await claimDueOrders(tx, { ...values, status });
      return claimed.map((order) => ({ ...order, dueAt: values.dueAt }));
    },
    makeDue: (tx: Tx, values: { now: number; after: number }) =>
      makeOrdersDue(tx, { ...values, status }),
    reschedule(tx: Tx, reschedules: readonly Reschedule<Leased & { readonly orderId: number }>[]) {
      const leases = reschedules.map(({ job, dueAt, attempts }) => [
        job.orderId,
        status,
        job.attempt,
        dueAt,
        attempts,
      ]);
      return rescheduleOrders(tx, { leases: JSON.stringify(leases) });
    },
  };
}

/** Charges of pending orders. */
export const chargeJobs: Jobs<Attempt> = jobsInStatus("charge of order", "pending");

/** Notifications of paid orders. */
export const notificationJobs: Jobs<Notification> = jobsInStatus("notification of order", "paid");

/** Sets the due time of events that are due later than `after` to `now`. Returns their ids. */
const makeEventsDue = prepared((tx, { orderEvents }, { skipLocked }) =>
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
export const webhookJobs: Jobs<OrderEvent & Leased> = {
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
