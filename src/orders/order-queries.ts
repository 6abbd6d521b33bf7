import { and, desc, eq, isNotNull, lt, type SQL, sql } from "drizzle-orm";
import { prepared, type ReadTx } from "../store/store.ts";

const value = sql.placeholder;

/** The customer's phone number. */
// Literal names: in RETURNING the query builder drops table names, and both tables have an id.
export const payer = sql<string>`(SELECT phone_number FROM users WHERE users.id = orders.user_id)`;

/** The tariff's title. */
export const tariffTitle = sql<string>`(SELECT title FROM tariffs WHERE tariffs.code = orders.tariff_code)`;

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

/** Selects a user's id if the user exists. */
export const userIdIfKnown = prepared((tx: ReadTx, { users }) =>
  tx
    .select({ id: users.id })
    .from(users)
    .where(eq(users.id, value("userId"))),
);
