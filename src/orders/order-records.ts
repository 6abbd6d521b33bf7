import { and, eq, isNotNull, type Placeholder, sql } from "drizzle-orm";
import type { Charge, ChargeOutcome } from "../ports.ts";
import { prepared, type Tx } from "../store/store.ts";
import { orders, users } from "../store/tables.ts";

export type Order = typeof orders.$inferSelect;

/** An order about to be written; instants in ms. */
export interface OrderDraft {
  readonly userId: number;
  readonly tariffCode: string;
  readonly idempotencyKey: string | null;
  readonly paymentKey: string;
  readonly createdAt: number;
  readonly dueAt: number;
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

// One statement for all that are opened in a step: a draft is an array in an array of JSON, the columns
// stand in the table's order, and a draft that can't be written is left out rather than an error.
const insertPending = prepared((tx) =>
  tx
    .insert(orders)
    .select(
      sql`
        SELECT NULL, draft.value->>0, draft.value->>1,
          (SELECT price_tiyin FROM tariffs WHERE code = draft.value->>1 AND active = 1) AS price_tiyin,
          'pending', draft.value->>2, draft.value->>3, draft.value->>4, NULL, NULL, draft.value->>5, 1,
          draft.value->>6
        FROM json_each(${sql.placeholder("drafts")}) AS draft
        WHERE price_tiyin IS NOT NULL
          AND (SELECT id FROM users WHERE id = draft.value->>0) IS NOT NULL
      `,
    )
    .onConflictDoNothing()
    .returning({
      orderId: orders.id,
      paymentKey: orders.paymentKey,
      amountTiyin: orders.amountTiyin,
      createdAt: orders.createdAt,
      dueAt: sql<number>`due_at`,
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
): Promise<ReadonlyMap<string, DueOrder>> {
  const rows = drafts.map((draft) => [
    draft.userId,
    draft.tariffCode,
    draft.idempotencyKey,
    draft.paymentKey,
    draft.createdAt,
    draft.dueAt,
    draft.repeatUntil,
  ]);
  const opened = await insertPending(tx).execute({ drafts: JSON.stringify(rows) });
  return new Map(opened.map((order) => [order.paymentKey, order]));
}

const byId = prepared((tx) =>
  tx
    .select()
    .from(orders)
    .where(eq(orders.id, sql.placeholder("orderId")))
    .prepare(),
);

/** The order with this number, if there is one. */
export async function orderById(tx: Tx, orderId: number): Promise<Order | undefined> {
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
  const { userId, tariffCode, idempotencyKey, repeatUntil } = draft;
  if (idempotencyKey !== null) {
    return (await byIdempotencyKey(tx).execute({ userId, idempotencyKey }))[0];
  }
  if (repeatUntil === null) return undefined;
  return (await byTariff(tx).execute({ userId, tariffCode }))[0];
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

const settlePending = prepared((tx) =>
  tx
    .update(orders)
    .set({
      status: sql`${sql.placeholder("outcome")}`,
      settledAt: sql`${sql.placeholder("settledAt")}`,
      dueAt: sql`CASE
        WHEN ${sql.placeholder("outcome")} = 'declined' THEN NULL
        WHEN ${orders.dueAt} BETWEEN ${sql.placeholder("dueFrom")} AND ${sql.placeholder("dueTo")} THEN ${orders.dueAt}
        ELSE ${sql.placeholder("dueFrom")}
      END`,
      attempts: 1,
      // A new attempt after a decline is a new order, unless the client's key says otherwise.
      repeatUntil: sql`CASE ${sql.placeholder("outcome")} WHEN 'paid' THEN ${orders.repeatUntil} END`,
    })
    .where(and(isOneOf(sql.placeholder("orderIds")), eq(orders.status, "pending")))
    .returning({ orderId: orders.id })
    .prepare(),
);

/**
 * Records what the provider said of these orders; resolves to those that were pending until now. A paid
 * one is due to be announced between `dueFrom` and `dueTo`: where it is due then anyway, its place in the
 * index stays.
 */
export async function settlePendingOrders(
  tx: Tx,
  settlement: {
    readonly orderIds: readonly number[];
    readonly outcome: ChargeOutcome;
    readonly settledAt: number;
    readonly dueFrom: number;
    readonly dueTo: number;
  },
): Promise<ReadonlySet<number>> {
  const orderIds = JSON.stringify(settlement.orderIds);
  const settled = await settlePending(tx).execute({ ...settlement, orderIds });
  return new Set(settled.map(({ orderId }) => orderId));
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
