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

/** The customer's phone number, of the order at hand. */
// Names written out: in RETURNING the builder drops the tables' names, and both tables have an id.
export const payer = sql<string>`(SELECT phone_number FROM users WHERE users.id = orders.user_id)`;

/** The tariff's title. */
export const tariffTitle = sql<string>`(SELECT title FROM tariffs WHERE tariffs.code = orders.tariff_code)`;

/** The orders whose ids are given as an array of JSON. */
function isOneOf({ orders }: Tables, { jsonEach }: Dialect, orderIds: Placeholder) {
  return sql`${orders.id} IN (SELECT CAST(given.value AS bigint) FROM ${jsonEach(orderIds)} AS given)`;
}

// Opening

// One statement for all orders of a batch: each is an array in an array of JSON. CROSS JOIN keeps the planner
// to this order of tables. An order that can't be inserted is left out, and is no error.
const insertPending = prepared((tx, { orders }, { jsonEach, nextId }) => {
  const none = { bigint: sql`CAST(NULL AS bigint)`, text: sql`CAST(NULL AS text)` };
  const columns = selectList(orders, {
    id: nextId("orders"),
    userId: sql`users.id`,
    tariffCode: sql`tariffs.code`,
    amountTiyin: sql`tariffs.price_tiyin`,
    status: sql`'pending'`,
    idempotencyKey: sql`new_order.value->>2`,
    paymentKey: sql`new_order.value->>3`,
    createdAt: sql`CAST(${value("createdAt")} AS bigint)`,
    settledAt: none.bigint,
    notifiedAt: none.bigint,
    dueAt: sql`CAST(${value("dueAt")} AS bigint)`,
    attempts: sql`1`,
    repeatable: sql`new_order.value->>2 IS NULL AND CAST(${value("isRepeatable")} AS boolean)`,
    stage: none.text,
    stageAt: none.bigint,
    refund: none.text,
    cancelReason: none.text,
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
 * Inserts the orders, pending, at today's price. Returns an attempt for each inserted order, by its payment
 * key. Leaves out orders of unknown users or inactive tariffs, and repeats. Orders without a key can be
 * repeated if `isRepeatable`. Times in ms.
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
  // The same sequence in all batches: two that insert the same keys crosswise would deadlock.
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
  return a.userId - b.userId || compare(nameOf(a), nameOf(b));
}

/** What makes one order of a user the same as another. */
function nameOf({ idempotencyKey, tariffCode }: NewOrder): string {
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
        // As the index has it: a value that is not known could not use it.
        sql`${orders.repeatable} = ${set}`,
      ),
    ),
);

/** The order that stands where this one was to be written, if one does. */
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

/** The order with this payment key, if there is one, and whose it is. */
export const orderByPaymentKey = prepared((tx, { orders }) =>
  tx
    .select({ ...getTableColumns(orders), payer })
    .from(orders)
    .where(eq(orders.paymentKey, value("paymentKey"))),
);

/** Changes address and comment unless a dispatcher has accepted the order; returns its id if changed. */
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

/** From now on an order without a key repeats this one no more. */
export const endRepeat = prepared((tx, { orders }) =>
  tx
    .update(orders)
    .set({ repeatable: false })
    .where(eq(orders.id, value("orderId"))),
);

/** The code of the tariff with this one, if it can be ordered. */
export const tariffCodeIfActive = prepared((tx, { tariffs }) =>
  tx
    .select({ code: tariffs.code })
    .from(tariffs)
    .where(and(eq(tariffs.code, value("tariffCode")), eq(tariffs.active, true))),
);

/** The id of the user with this one, if there is one. */
export const userIdIfKnown = prepared((tx: ReadTx, { users }) =>
  tx
    .select({ id: users.id })
    .from(users)
    .where(eq(users.id, value("userId"))),
);

// Looking up

/** The order with this id, if there is one. */
export const orderById = prepared((tx: ReadTx, { orders }) =>
  tx
    .select()
    .from(orders)
    .where(eq(orders.id, value("orderId"))),
);

/** The first `limit` orders of the user with ids below `before`, the newest first. */
export const ordersOfUser = prepared((tx: ReadTx, { orders }) =>
  tx
    .select()
    .from(orders)
    .where(and(eq(orders.userId, value("userId")), lt(orders.id, value("before"))))
    .orderBy(desc(orders.id))
    .limit(value("limit")),
);

/** The newest `limit` orders, of one status where that is not null, the newest first. */
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

/** How many orders there are. */
export const countOrders = prepared((tx: ReadTx, { orders }) =>
  tx.select({ orders: sql`count(*)`.mapWith(Number) }).from(orders),
);

/**
 * How many orders made by `madeBy` are pending, how many are paid and the dispatcher does not know of them,
 * and since when, in ms, the oldest of each waits. Reads the index of what is due, not the orders.
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

// Settling and notifying; `orderIds` is an array of JSON

/**
 * Records that those of these orders are paid that were pending until now, and answers with
 * their ids and what was ordered.
 */
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

/** Records that those of these orders are declined that were pending until now, and answers with their ids. */
export const settleDeclined = prepared((tx, tables, dialect) =>
  tx
    .update(tables.orders)
    .set({
      status: "declined",
      settledAt: sql`${value("settledAt")}`,
      dueAt: null,
      attempts: 1,
      // A new attempt after a decline is a new order, unless the client's key says otherwise.
      repeatable: false,
    })
    .where(and(isOneOf(tables, dialect, value("orderIds")), eq(tables.orders.status, "pending")))
    .returning({ orderId: tables.orders.id }),
);

/** Records that the dispatcher knows of these paid orders. */
export const markNotified = prepared((tx, tables, dialect) =>
  tx
    .update(tables.orders)
    .set({ notifiedAt: sql`${value("now")}`, dueAt: null })
    .where(and(isOneOf(tables, dialect, value("orderIds")), eq(tables.orders.status, "paid"))),
);
