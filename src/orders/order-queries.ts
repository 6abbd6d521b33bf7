import { and, desc, eq, getTableColumns, gt, inArray, isNull, lt, sql } from "drizzle-orm";
import { OPEN_STAGES } from "../store/schema.ts";
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

/**
 * Selects up to `limit` orders with ids below `before`, newest first; only those in `status` unless
 * it is null.
 */
export const latestOrders = prepared((tx: ReadTx, { orders }) =>
  tx
    .select()
    .from(orders)
    .where(
      and(
        lt(orders.id, value("before")),
        sql`(CAST(${value("status")} AS text) IS NULL OR ${orders.status} = CAST(${value("status")} AS text))`,
      ),
    )
    .orderBy(desc(orders.id))
    .limit(value("limit")),
);

/** Counts all orders. */
export const countOrders = prepared((tx: ReadTx, { orders }) =>
  tx.select({ orders: sql`count(*)`.mapWith(Number) }).from(orders),
);

/** Selects a user's id if the user exists. */
export const userIdIfKnown = prepared((tx: ReadTx, { users }) =>
  tx
    .select({ id: users.id })
    .from(users)
    .where(eq(users.id, value("userId"))),
);

// Inserts and repeats

/** Selects the user's order with this idempotency key. */
export const orderByKey = prepared((tx, { orders }) =>
  tx
    .select()
    .from(orders)
    .where(
      and(eq(orders.userId, value("userId")), eq(orders.idempotencyKey, value("idempotencyKey"))),
    ),
);

/** Selects the user's order of the tariff that a request without a key may repeat. */
export const repeatableOrder = prepared((tx, { orders }, { trueLiteral }) =>
  tx
    .select()
    .from(orders)
    .where(
      and(
        eq(orders.userId, value("userId")),
        eq(orders.tariffCode, value("tariffCode")),
        // A literal, because a parameter would not match the partial index.
        sql`${orders.repeatable} = ${trueLiteral}`,
      ),
    ),
);

/**
 * Selects the user's orders of the tariff without a key that were created after `after`, in ms, and
 * are not completed or cancelled; newest first.
 */
// No LIMIT: with it, PostgreSQL may walk the primary key instead of the user's orders.
export const openOrders = prepared((tx, { orders }) =>
  tx
    .select()
    .from(orders)
    .where(
      and(
        eq(orders.userId, value("userId")),
        isNull(orders.idempotencyKey),
        eq(orders.tariffCode, value("tariffCode")),
        gt(orders.createdAt, value("after")),
        inArray(orders.stage, OPEN_STAGES),
      ),
    )
    .orderBy(desc(orders.id)),
);

/** Selects the order with this payment key, its customer's phone number and its tariff's title. */
export const orderByPaymentKey = prepared((tx, { orders }) =>
  tx
    .select({ ...getTableColumns(orders), payer, tariffTitle })
    .from(orders)
    .where(eq(orders.paymentKey, value("paymentKey"))),
);

/**
 * Sets address and comment of an order that is pending or new. Returns its id if changed.
 */
export const changeDetails = prepared((tx, { orders }) =>
  tx
    .update(orders)
    .set({ address: sql`${value("address")}`, comment: sql`${value("comment")}` })
    .where(
      and(
        eq(orders.id, value("orderId")),
        sql`(${orders.status} = 'pending' OR ${orders.stage} = 'new')`,
      ),
    )
    .returning({ orderId: orders.id }),
);

/** Ends the order's repeat window: later orders without a key are new. */
export const endRepeat = prepared((tx, { orders }) =>
  tx
    .update(orders)
    .set({ repeatable: false })
    .where(eq(orders.id, value("orderId"))),
);

/** Selects a tariff's code if the tariff is active. */
export const tariffCodeIfActive = prepared((tx, { tariffs }) =>
  tx
    .select({ code: tariffs.code })
    .from(tariffs)
    .where(and(eq(tariffs.code, value("tariffCode")), eq(tariffs.active, true))),
);
