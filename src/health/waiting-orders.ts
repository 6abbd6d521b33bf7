import { isNotNull, type SQL, sql } from "drizzle-orm";
import { prepared, type ReadTx } from "../store/store.ts";

// Reads only the partial index of due orders.
const countWaiting = prepared((tx: ReadTx, { orders }) => {
  const instant = (value: SQL) => sql<number | null>`min(${value})`.mapWith(Number);
  const isPending = sql`${orders.status} = 'pending' AND ${orders.createdAt} <= ${sql.placeholder("createdUntil")}`;
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

/**
 * Counts pending orders created at or before `createdUntil`, in ms, and paid orders the dispatcher
 * has not been notified of. Also returns since when the oldest of each has been waiting, in ms.
 */
export async function readWaitingOrders(tx: ReadTx, createdUntil: number) {
  const [waiting] = await countWaiting(tx, { createdUntil });
  if (waiting === undefined) throw new Error("a count returned no row");
  return waiting;
}
