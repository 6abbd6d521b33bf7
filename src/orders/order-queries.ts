import { and, desc, eq, isNotNull, lt, type Placeholder, type SQL, sql } from "drizzle-orm";
import type { Charge } from "../ports.ts";
import type { Dialect, Tables } from "../store/schema.ts";
import { prepared, type ReadTx } from "../store/store.ts";
import type { Leased } from "./worker.ts";

/** One attempt to charge a pending order. */
export interface Attempt extends Charge, Leased {
  readonly createdAt: number;
}

const value = sql.placeholder;

/** The customer's phone number. */
// Literal names: in RETURNING the query builder drops table names, and both tables have an id.
export const payer = sql<string>`(SELECT phone_number FROM users WHERE users.id = orders.user_id)`;

/** The tariff's title. */
export const tariffTitle = sql<string>`(SELECT title FROM tariffs WHERE tariffs.code = orders.tariff_code)`;

/** Matches orders whose ids are in a JSON array. */
function isOneOf({ orders }: Tables, { jsonEach }: Dialect, orderIds: Placeholder) {
  return sql`${orders.id} IN (SELECT CAST(given.value AS bigint) FROM ${jsonEach(orderIds)} AS given)`;
}

// Reading

/** Selects the order with this id. */
export const orderById = prepared((tx: ReadTx, { orders }) =>
  tx
    .select()
    .from(orders)
    .where(eq(orders.id, value("orderId"))),
);

/** Selects up to `limit` of the user's orders with ids below `before`, newest first. */
export const ordersOfUser = prepared((tx: ReadTx, { orders }) =>
  tx
    .select()
    .from(orders)
    .where(and(eq(orders.userId, value("userId")), lt(orders.id, value("before"))))
    .orderBy(desc(orders.id))
    .limit(value("limit")),
);

/** Selects the newest `limit` orders, newest first; only those in `status` unless it is null. */
export const latestOrders = prepared((tx: ReadTx, { orders }) =>
  tx
    .select()
    .from(orders)
    .where(
      sql`(CAST(${value("status")} AS text) IS NULL OR ${orders.status} = CAST(${value("status")} AS text))`,
    )
    .orderBy(desc(orders.id))
    .limit(value("limit")),
);

/** Counts all orders. */
export const countOrders = prepared((tx: ReadTx, { orders }) =>
  tx.select({ orders: sql`count(*)`.mapWith(Number) }).from(orders),
);

/**
 * Counts pending orders created at or before `madeBy`, and paid orders the dispatcher has not been
 * notified of. Also returns since when the oldest of each has been waiting, in ms. Reads only the
 * partial index of due orders.
 */
export const waitingOrders = prepared((tx: ReadTx, { orders }) => {
  const instant = (value: SQL) => sql<number | null>`min(${value})`.mapWith(Number);
  const isPending = sql`${orders.status} = 'pending' AND ${orders.createdAt} <= ${value("madeBy")}`;
  const isPaid = sql`${orders.status} = 'paid'`;
  return tx
    .select({
      pending: sql`count(CASE WHEN ${isPending} THEN 1 END)`.mapWith(Number),
      pendingSince: instant(sql`CASE WHEN ${isPending} THEN ${orders.createdAt} END`),
      unnotified: sql`count(CASE WHEN ${isPaid} THEN 1 END)`.mapWith(Number),
      unnotifiedSince: instant(sql`CASE WHEN ${isPaid} THEN ${orders.settledAt} END`),
    })
    .from(orders)
    .where(isNotNull(orders.dueAt));
});

// Settling and notifying. `orderIds` is a JSON array.

/** Marks these orders as paid if they are pending. Returns the ids and tariff titles of those. */
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
    .returning({ orderId: tables.orders.id, tariffTitle }),
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
