import { sql } from "drizzle-orm";
import { prepared, selectList, type Tx } from "../store/store.ts";
import type { Attempt } from "./order-jobs.ts";
import { payer, tariffTitle } from "./order-queries.ts";

/** A client's request to order. */
export interface OrderRequest {
  readonly userId: number;
  readonly tariffCode: string;
  readonly idempotencyKey: string | null;
  readonly address: string | null;
  readonly comment: string | null;
}

/** An order to insert. */
export interface NewOrder extends OrderRequest {
  readonly paymentKey: string;
  /** If false, the user's hourly limit allows only a repeat. */
  readonly withinLimit: boolean;
}

const value = sql.placeholder;

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
      tariffTitle,
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
  for (const order of inserted) {
    attempts.set(order.paymentKey, { ...order, statusAt: createdAt, attempt: 1, dueAt });
  }
  return attempts;
}

function byUserAndKey(a: NewOrder, b: NewOrder): number {
  return a.userId - b.userId || compare(repeatKeyOf(a), repeatKeyOf(b));
}

/** Returns the value that identifies repeats among a user's orders. */
function repeatKeyOf({ idempotencyKey, tariffCode }: NewOrder): string {
  return idempotencyKey ?? tariffCode;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
