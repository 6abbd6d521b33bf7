import { and, eq, isNotNull, type Placeholder, sql } from "drizzle-orm";
import type { Charge } from "../ports.ts";
import type { Dialect, Tables } from "../store/schema.ts";
import { prepared } from "../store/store.ts";
import { payer, tariffTitle } from "./order-queries.ts";
import { MAX_WOKEN } from "./retry-schedule.ts";
import type { Jobs, Leased } from "./worker.ts";

// Queries on orders that are due: pending ones to charge, paid ones to notify the dispatcher of.
// `due_at` is the time of the next attempt, or the lease end of a running one.

/** An attempt at an order's next action: to charge it, or to notify the dispatcher once it is paid. */
export interface Attempt extends Charge, Leased {
  readonly tariffTitle: string;
  /** When the order was settled or, if it is pending, created; in ms. */
  readonly statusAt: number;
}

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
      tariffTitle,
      attempt: orders.attempts,
      statusAt: sql`coalesce(${orders.settledAt}, ${orders.createdAt})`.mapWith(Number),
    }),
);

/**
 * Sets the due time of orders in `status` that are due later than `after` to `now`, at most
 * `MAX_WOKEN` of them, the earliest first. Returns their ids.
 */
const makeOrdersDue = prepared((tx, { orders }, { skipLocked }) =>
  tx
    .update(orders)
    .set({ dueAt: sql`${value("now")}` })
    .where(
      sql`${orders.id} IN (
        SELECT id FROM orders WHERE status = ${value("status")} AND due_at > ${value("after")}
        ORDER BY due_at LIMIT ${sql.raw(String(MAX_WOKEN))} ${skipLocked}
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
function jobsInStatus(name: string, status: "pending" | "paid"): Jobs<Attempt> {
  return {
    name,
    idOf: ({ orderId }) => orderId,
    async claim(tx, values) {
      const claimed = await claimDueOrders(tx, { ...values, status });
      return claimed.map((order) => ({ ...order, dueAt: values.dueAt }));
    },
    makeDue: (tx, values) => makeOrdersDue(tx, { ...values, status }),
    reschedule(tx, reschedules) {
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
export const chargeJobs = jobsInStatus("charge of order", "pending");

/** Notifications of paid orders. */
export const notificationJobs = jobsInStatus("notification of order", "paid");

// Settling and notifying. `orderIds` is a JSON array.

/** Marks these orders as paid if they are pending. Returns the ids of those. */
export const settlePaid = prepared((tx, tables, dialect) =>
  tx
    .update(tables.orders)
    .set({
      status: "paid",
      settledAt: sql`${value("settledAt")}`,
      dueAt: sql`${value("dueAt")}`,
      attempts: 1,
      stage: "new",
      stageAt: sql`${value("settledAt")}`,
    })
    .where(and(isOneOf(tables, dialect, value("orderIds")), eq(tables.orders.status, "pending")))
    .returning({ orderId: tables.orders.id }),
);

/** Marks these orders as declined if they are pending. Returns the ids of those. */
export const settleDeclined = prepared((tx, tables, dialect) =>
  tx
    .update(tables.orders)
    .set({
      status: "declined",
      settledAt: sql`${value("settledAt")}`,
      dueAt: null,
      attempts: 1,
      // After a decline, a request without a key is a new order.
      repeatable: false,
    })
    .where(and(isOneOf(tables, dialect, value("orderIds")), eq(tables.orders.status, "pending")))
    .returning({ orderId: tables.orders.id }),
);

/** Records that the dispatcher was notified of these paid orders. */
export const markNotified = prepared((tx, tables, dialect) =>
  tx
    .update(tables.orders)
    .set({ notifiedAt: sql`${value("now")}`, dueAt: null })
    .where(and(isOneOf(tables, dialect, value("orderIds")), eq(tables.orders.status, "paid"))),
);

/** Matches orders whose ids are in a JSON array. */
function isOneOf({ orders }: Tables, { jsonEach }: Dialect, orderIds: Placeholder) {
  return sql`${orders.id} IN (SELECT CAST(given.value AS bigint) FROM ${jsonEach(orderIds)} AS given)`;
}
