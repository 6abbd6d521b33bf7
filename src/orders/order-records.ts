import { and, count, eq, isNotNull, type Placeholder, sql } from "drizzle-orm";
import type { Charge } from "../ports.ts";
import { prepared, type ReadTx, type Tx } from "../store/store.ts";
import { orders, users } from "../store/tables.ts";

export type Order = typeof orders.$inferSelect;

/** An order about to be written. */
export interface OrderDraft {
  readonly userId: number;
  readonly tariffCode: string;
  readonly idempotencyKey: string | null;
  readonly paymentKey: string;
}

/** What all orders of a step have in common; instants in ms. */
export interface OpeningTimes {
  readonly createdAt: number;
  readonly dueAt: number;
  /** Of those without a key. */
  readonly repeatUntil: number | null;
}

/** An order that something is to be done for, with what a provider needs to know of it. */
export interface DueOrder extends Charge {
  readonly createdAt: number;
  /** When it is to be tried again, should this time come to nothing. */
  readonly dueAt: number;
}

/** The customer's phone number, of the order at hand. */
// Names written out: in RETURNING the builder drops the tables' names, and both tables have an id.
export const payer = sql<string>`(SELECT phone_number FROM users WHERE users.id = orders.user_id)`;

/** The orders whose numbers are given as an array of JSON. */
function isOneOf(orderIds: Placeholder) {
  return sql`${orders.id} IN (SELECT value FROM json_each(${orderIds}))`;
}

// One statement for all that are opened in a step: a draft is an array in an array of JSON, and the columns
// stand in the table's order. CROSS keeps the planner to this order of tables; a draft that can't be written
// is left out rather than an error.
const insertPending = prepared((tx) =>
  tx
    .insert(orders)
    .select(
      sql`
        SELECT NULL, users.id, tariffs.code, tariffs.price_tiyin, 'pending', draft.value->>2, draft.value->>3,
          ${sql.placeholder("createdAt")}, NULL, NULL, ${sql.placeholder("dueAt")}, 1,
          CASE WHEN draft.value->>2 IS NULL THEN ${sql.placeholder("repeatUntil")} END
        FROM json_each(${sql.placeholder("drafts")}) AS draft
        CROSS JOIN users ON users.id = draft.value->>0
        CROSS JOIN tariffs ON tariffs.code = draft.value->>1 AND tariffs.active = 1
        WHERE true
      `,
    )
    .onConflictDoNothing()
    .returning({
      orderId: orders.id,
      paymentKey: orders.paymentKey,
      amountTiyin: orders.amountTiyin,
      payer,
    })
    .prepare(),
);

/**
 * Writes the orders, pending, at today's price; what was written is found by its payment key. Left out
 * is what can't be: no such user, no active tariff of this code, or it repeats an order that is there.
 */
export async function insertPendingOrders(
  tx: Tx,
  drafts: readonly OrderDraft[],
  times: OpeningTimes,
): Promise<ReadonlyMap<string, DueOrder>> {
  const rows = drafts.map((draft) => [
    draft.userId,
    draft.tariffCode,
    draft.idempotencyKey,
    draft.paymentKey,
  ]);
  const opened = await insertPending(tx).execute({ ...times, drafts: JSON.stringify(rows) });
  const { createdAt, dueAt } = times;
  return new Map(opened.map((order) => [order.paymentKey, { ...order, createdAt, dueAt }]));
}

const byId = prepared((tx: ReadTx) =>
  tx
    .select()
    .from(orders)
    .where(eq(orders.id, sql.placeholder("orderId")))
    .prepare(),
);

/** The order with this number, if there is one. */
export async function orderById(tx: ReadTx, orderId: number): Promise<Order | undefined> {
  const [order] = await byId(tx).execute({ orderId });
  return order;
}

const byIdempotencyKey = prepared((tx) =>
  tx
    .select()
    .from(orders)
    .where(
      and(
        eq(orders.userId, sql.placeholder("userId")),
        eq(orders.idempotencyKey, sql.placeholder("idempotencyKey")),
      ),
    )
    .prepare(),
);

const byTariff = prepared((tx) =>
  tx
    .select()
    .from(orders)
    .where(
      and(
        eq(orders.userId, sql.placeholder("userId")),
        eq(orders.tariffCode, sql.placeholder("tariffCode")),
        isNotNull(orders.repeatUntil),
      ),
    )
    .prepare(),
);

/** The order that stands where this one was to be written, if one does. */
export async function orderInTheWay(tx: Tx, draft: OrderDraft): Promise<Order | undefined> {
  const { userId, tariffCode, idempotencyKey } = draft;
  const [order] =
    idempotencyKey === null
      ? await byTariff(tx).execute({ userId, tariffCode })
      : await byIdempotencyKey(tx).execute({ userId, idempotencyKey });
  return order;
}

const clearRepeat = prepared((tx) =>
  tx
    .update(orders)
    .set({ repeatUntil: null })
    .where(eq(orders.id, sql.placeholder("orderId")))
    .prepare(),
);

/** From now on an order without a key repeats this one no more. */
export async function endRepeat(tx: Tx, orderId: number): Promise<void> {
  await clearRepeat(tx).execute({ orderId });
}

const settlePaid = prepared((tx) =>
  tx
    .update(orders)
    .set({
      status: "paid",
      settledAt: sql`${sql.placeholder("settledAt")}`,
      dueAt: sql`${sql.placeholder("dueAt")}`,
      attempts: 1,
    })
    .where(and(isOneOf(sql.placeholder("orderIds")), eq(orders.status, "pending")))
    .prepare(),
);

const settleDeclined = prepared((tx) =>
  tx
    .update(orders)
    .set({
      status: "declined",
      settledAt: sql`${sql.placeholder("settledAt")}`,
      dueAt: null,
      attempts: 1,
      // A new attempt after a decline is a new order, unless the client's key says otherwise.
      repeatUntil: null,
    })
    .where(and(isOneOf(sql.placeholder("orderIds")), eq(orders.status, "pending")))
    .prepare(),
);

/** Records that these orders are paid, where they were pending until now, and due to be announced. Instants in ms. */
export async function settleAsPaid(
  tx: Tx,
  orderIds: readonly number[],
  times: { readonly settledAt: number; readonly dueAt: number },
): Promise<void> {
  if (orderIds.length === 0) return;
  await settlePaid(tx).execute({ ...times, orderIds: JSON.stringify(orderIds) });
}

/** Records that these orders are declined, where they were pending until now; `settledAt` in ms. */
export async function settleAsDeclined(
  tx: Tx,
  orderIds: readonly number[],
  settledAt: number,
): Promise<void> {
  if (orderIds.length === 0) return;
  await settleDeclined(tx).execute({ settledAt, orderIds: JSON.stringify(orderIds) });
}

const howMany = prepared((tx) =>
  tx
    .select({ n: count() })
    .from(orders)
    .where(and(isOneOf(sql.placeholder("orderIds")), eq(orders.status, sql.placeholder("status"))))
    .prepare(),
);

/** Whether each of these different orders is there, in this state. */
export async function areAll(
  tx: Tx,
  status: Order["status"],
  orderIds: readonly number[],
): Promise<boolean> {
  if (orderIds.length === 0) return true;
  const [row] = await howMany(tx).execute({ orderIds: JSON.stringify(orderIds), status });
  return row?.n === orderIds.length;
}

const announce = prepared((tx) =>
  tx
    .update(orders)
    .set({ announcedAt: sql`${sql.placeholder("now")}`, dueAt: null })
    .where(and(isOneOf(sql.placeholder("orderIds")), eq(orders.status, "paid")))
    .prepare(),
);

/** Records that the dispatcher knows of these paid orders. */
export async function markAnnounced(
  tx: Tx,
  orderIds: readonly number[],
  now: number,
): Promise<void> {
  await announce(tx).execute({ orderIds: JSON.stringify(orderIds), now });
}

const userWithId = prepared((tx) =>
  tx
    .select({ id: users.id })
    .from(users)
    .where(eq(users.id, sql.placeholder("userId")))
    .prepare(),
);

/** Whether there is a user with this number. */
export async function userExists(tx: Tx, userId: number): Promise<boolean> {
  const rows = await userWithId(tx).execute({ userId });
  return rows.length > 0;
}
