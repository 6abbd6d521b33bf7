import { and, eq, isNotNull, sql } from "drizzle-orm";
import type { Charge, ChargeOutcome } from "../ports.ts";
import { prepared, type Tx } from "../store/store.ts";
import { orders, tariffs, users } from "../store/tables.ts";

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

const insertPending = prepared((tx) =>
  tx
    .insert(orders)
    .select(
      tx
        .select({
          id: sql`NULL`.as("id"),
          userId: sql`${sql.placeholder("userId")}`.as("user_id"),
          tariffCode: tariffs.code,
          amountTiyin: tariffs.priceTiyin,
          status: sql`'pending'`.as("status"),
          idempotencyKey: sql`${sql.placeholder("idempotencyKey")}`.as("idempotency_key"),
          paymentKey: sql`${sql.placeholder("paymentKey")}`.as("payment_key"),
          createdAt: sql`${sql.placeholder("createdAt")}`.as("created_at"),
          settledAt: sql`NULL`.as("settled_at"),
          announcedAt: sql`NULL`.as("announced_at"),
          dueAt: sql`${sql.placeholder("dueAt")}`.as("due_at"),
          attempts: sql`1`.as("attempts"),
          repeatUntil: sql`${sql.placeholder("repeatUntil")}`.as("repeat_until"),
        })
        .from(tariffs)
        .where(
          and(
            eq(tariffs.code, sql.placeholder("tariffCode")),
            eq(tariffs.active, true),
            sql`(SELECT ${users.id} FROM ${users} WHERE ${users.id} = ${sql.placeholder("userId")}) IS NOT NULL`,
          ),
        ),
    )
    .onConflictDoNothing()
    .returning({ orderId: orders.id, amountTiyin: orders.amountTiyin, payer })
    .prepare(),
);

/**
 * Writes the order, pending, at today's price, in one statement. Undefined where it can't be: no such
 * user, no active tariff of this code, or it repeats an order that is there.
 */
export async function insertPendingOrder(tx: Tx, draft: OrderDraft): Promise<DueOrder | undefined> {
  const [row] = await insertPending(tx).execute({ ...draft });
  if (row === undefined) return undefined;
  const { paymentKey, createdAt, dueAt } = draft;
  return { ...row, paymentKey, createdAt, dueAt };
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
    .where(and(eq(orders.id, sql.placeholder("orderId")), eq(orders.status, "pending")))
    .returning({ id: orders.id })
    .prepare(),
);

/**
 * Records what the provider said; false where the order was settled before. A paid order is due to be
 * announced between `dueFrom` and `dueTo`: where it is due then anyway, its place in the index stays.
 */
export async function settlePendingOrder(
  tx: Tx,
  settlement: {
    readonly orderId: number;
    readonly outcome: ChargeOutcome;
    readonly settledAt: number;
    readonly dueFrom: number;
    readonly dueTo: number;
  },
): Promise<boolean> {
  const rows = await settlePending(tx).execute({ ...settlement });
  return rows.length > 0;
}

const announce = prepared((tx) =>
  tx
    .update(orders)
    .set({ announcedAt: sql`${sql.placeholder("now")}`, dueAt: null })
    .where(and(eq(orders.id, sql.placeholder("orderId")), eq(orders.status, "paid")))
    .prepare(),
);

/** Records that the dispatcher knows of this paid order. */
export async function markAnnounced(tx: Tx, orderId: number, now: number): Promise<void> {
  await announce(tx).execute({ orderId, now });
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
