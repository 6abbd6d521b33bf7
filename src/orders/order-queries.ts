import {
  and,
  desc,
  eq,
  getTableColumns,
  isNotNull,
  lt,
  type Placeholder,
  type SQL,
  sql,
} from "drizzle-orm";
import type { Charge } from "../ports.ts";
import type { Dialect } from "../store/dialect.ts";
import type { Order, Tables } from "../store/schema.ts";
import { prepared, type ReadTx, selectList, type Tx } from "../store/store.ts";
import type { Leased } from "./worker.ts";

/** An order to insert. */
export interface NewOrder {
  readonly userId: number;
  readonly tariffCode: string;
  readonly idempotencyKey: string | null;
  readonly paymentKey: string;
  readonly address: string | null;
  readonly comment: string | null;
}

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

// Inserting

// One statement per batch. `newOrders` is a JSON array of arrays. CROSS JOIN fixes the planner's
// join order. Skips orders that can't be inserted, without an error.
const insertPending = prepared((tx, { orders }, { jsonEach, nextId }) => {
  const nulls = { bigint: sql`CAST(NULL AS bigint)`, text: sql`CAST(NULL AS text)` };
  const columns = selectList(orders, {
    id: nextId("orders"),
    userId: sql`users.id`,
    tariffCode: sql`tariffs.code`,
    amountTiyin: sql`tariffs.price_tiyin`,
    status: sql`'pending'`,
    idempotencyKey: sql`new_order.value->>2`,
    paymentKey: sql`new_order.value->>3`,
    createdAt: sql`CAST(${value("createdAt")} AS bigint)`,
    settledAt: nulls.bigint,
    notifiedAt: nulls.bigint,
    dueAt: sql`CAST(${value("dueAt")} AS bigint)`,
    attempts: sql`1`,
    repeatable: sql`new_order.value->>2 IS NULL AND CAST(${value("isRepeatable")} AS boolean)`,
    stage: nulls.text,
    stageAt: nulls.bigint,
    refund: nulls.text,
    cancelReason: nulls.text,
    address: sql`new_order.value->>4`,
    comment: sql`new_order.value->>5`,
  });
  return tx
    .insert(orders)
    .select(
      sql`
        SELECT ${columns}
        FROM ${jsonEach(value("newOrders"))} AS new_order
        CROSS JOIN users
        CROSS JOIN tariffs
        WHERE users.id = CAST(new_order.value->>0 AS bigint)
          AND tariffs.code = new_order.value->>1 AND tariffs.active
      `,
    )
    .onConflictDoNothing()
    .returning({
      orderId: orders.id,
      paymentKey: orders.paymentKey,
      amountTiyin: orders.amountTiyin,
      payer,
    });
});

/**
 * Inserts pending orders at the current price. Returns an attempt for each inserted order, by
 * payment key. Skips orders of unknown users or inactive tariffs, and repeats. Orders without a key
 * can be repeated if `isRepeatable`. Times are in ms.
 */
export async function insertPendingOrders(
  tx: Tx,
  newOrders: readonly NewOrder[],
  common: {
    readonly createdAt: number;
    readonly dueAt: number;
    readonly isRepeatable: boolean;
  },
): Promise<ReadonlyMap<string, Attempt>> {
  // Sorted: batches that insert the same keys in different orders could deadlock.
  const rows = newOrders
    .toSorted(byUserAndKey)
    .map((order) => [
      order.userId,
      order.tariffCode,
      order.idempotencyKey,
      order.paymentKey,
      order.address,
      order.comment,
    ]);
  const inserted = await insertPending(tx, { ...common, newOrders: JSON.stringify(rows) });
  const { createdAt, dueAt } = common;
  const attempts = new Map<string, Attempt>();
  for (const { orderId, paymentKey, amountTiyin, payer } of inserted) {
    const attempt = { orderId, paymentKey, amountTiyin, payer, createdAt, attempt: 1, dueAt };
    attempts.set(paymentKey, attempt);
  }
  return attempts;
}

function byUserAndKey(a: NewOrder, b: NewOrder): number {
  return a.userId - b.userId || compare(repeatKeyOf(a), repeatKeyOf(b));
}

/** Returns the value by which a user's orders are compared. */
function repeatKeyOf({ idempotencyKey, tariffCode }: NewOrder): string {
  return idempotencyKey ?? tariffCode;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const orderByKey = prepared((tx, { orders }) =>
  tx
    .select()
    .from(orders)
    .where(
      and(eq(orders.userId, value("userId")), eq(orders.idempotencyKey, value("idempotencyKey"))),
    ),
);

const repeatableOrder = prepared((tx, { orders }, { set }) =>
  tx
    .select()
    .from(orders)
    .where(
      and(
        eq(orders.userId, value("userId")),
        eq(orders.tariffCode, value("tariffCode")),
        // A literal, because a parameter would not match the partial index.
        sql`${orders.repeatable} = ${set}`,
      ),
    ),
);

/** Returns the existing order that the new one would repeat, if any. */
export async function findConflictingOrder(
  tx: Tx,
  { userId, tariffCode, idempotencyKey }: NewOrder,
): Promise<Order | undefined> {
  const [order] =
    idempotencyKey === null
      ? await repeatableOrder(tx, { userId, tariffCode })
      : await orderByKey(tx, { userId, idempotencyKey });
  return order;
}

/** Selects the order with this payment key, and its customer's phone number. */
export const orderByPaymentKey = prepared((tx, { orders }) =>
  tx
    .select({ ...getTableColumns(orders), payer })
    .from(orders)
    .where(eq(orders.paymentKey, value("paymentKey"))),
);

/**
 * Sets address and comment unless a dispatcher has accepted the order. Returns its id if changed.
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

/** Selects a user's id if the user exists. */
export const userIdIfKnown = prepared((tx: ReadTx, { users }) =>
  tx
    .select({ id: users.id })
    .from(users)
    .where(eq(users.id, value("userId"))),
);

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

/** Marks the pending ones of these orders as paid. Returns their ids and tariff titles. */
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

/** Marks the pending ones of these orders as declined. Returns their ids. */
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
