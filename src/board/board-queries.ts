import { and, asc, desc, eq, getTableColumns, sql } from "drizzle-orm";
import { STAGES, type Tables } from "../store/schema.ts";
import { prepared, type ReadTx } from "../store/store.ts";
import { userText } from "./html.ts";

/** How many recent orders a search by last digits covers. */
const SEARCHED_ORDERS = 5000;

const value = sql.placeholder;

/** All stages by name: each is a range of the index, whose first column is the stage. */
const ANY_STAGE = sql.raw(`(${STAGES.map((stage) => `'${stage}'`).join(", ")})`);

// Qualified names: both tables of the subquery have an id.
const actor = sql`(
  SELECT order_events.actor FROM order_events
  WHERE order_events.order_id = orders.id AND order_events.from_stage IS NOT NULL
  ORDER BY order_events.id DESC LIMIT 1
)`.mapWith(userText);

/**
 * Selects cards: order, customer, tariff and dispatcher. User text is already escaped and isolated
 * (see `userText`).
 */
function selectCards(tx: ReadTx, { orders, users, tariffs }: Tables) {
  return tx
    .select({
      ...getTableColumns(orders),
      address: sql`${orders.address}`.mapWith(userText),
      rawAddress: orders.address,
      comment: sql`${orders.comment}`.mapWith(userText),
      phoneNumber: users.phoneNumber,
      fullName: sql`${users.fullName}`.mapWith(userText),
      tariffTitle: sql`${tariffs.title}`.mapWith(userText),
      actor,
    })
    .from(orders)
    .innerJoin(users, eq(users.id, orders.userId))
    .innerJoin(tariffs, eq(tariffs.code, orders.tariffCode));
}

/** Selects the orders of one stage, oldest payment first. */
export const cardsOfStage = prepared((tx: ReadTx, tables) =>
  selectCards(tx, tables)
    .where(eq(tables.orders.stage, value("stage")))
    .orderBy(asc(tables.orders.settledAt))
    .limit(value("limit")),
);

export type Card = Awaited<ReturnType<typeof cardsOfStage>>[number];

/** Selects a paid order. */
export const cardById = prepared((tx: ReadTx, tables) =>
  selectCards(tx, tables).where(
    and(eq(tables.orders.id, value("orderId")), eq(tables.orders.status, "paid")),
  ),
);

/** Maximum count per stage, so that a count stays cheap. */
export const MAX_COUNTED = 1000;

function countOf(stage: string) {
  return sql`(SELECT count(*) FROM (
    SELECT 1 FROM orders WHERE stage = ${sql.raw(`'${stage}'`)} LIMIT ${sql.raw(String(MAX_COUNTED))}
  ) AS counted)`.mapWith(Number);
}

/** Counts the orders of each open stage, up to `MAX_COUNTED`. */
export const countOpen = prepared((tx: ReadTx) =>
  tx
    .select({
      new: countOf("new"),
      accepted: countOf("accepted"),
      in_progress: countOf("in_progress"),
    })
    .from(sql`(SELECT 1) AS one`),
);

/** Selects orders with a refund owed, oldest payment first. */
export const refundsOwed = prepared((tx: ReadTx, { orders }) =>
  tx
    .select({ id: orders.id, amountTiyin: orders.amountTiyin })
    .from(orders)
    .where(sql`${orders.refund} = 'owed'`)
    .orderBy(asc(orders.settledAt))
    .limit(value("limit")),
);

/** Sums up the orders paid in [`from`, `to`) by stage. */
// One day per query: grouping by day takes four times as long as a range of the index.
export const figuresByStage = prepared((tx: ReadTx, { orders }) =>
  tx
    .select({
      stage: orders.stage,
      orders: sql`count(*)`.mapWith(Number),
      tiyin: sql`sum(${orders.amountTiyin})`.mapWith(Number),
    })
    .from(orders)
    .where(
      sql`${orders.stage} IN ${ANY_STAGE}
        AND ${orders.settledAt} >= CAST(${value("from")} AS bigint)
        AND ${orders.settledAt} < CAST(${value("to")} AS bigint)`,
    )
    .groupBy(orders.stage),
);

/**
 * Selects orders paid in [`from`, `to`), newest first; only of one stage unless `stage` is empty.
 */
export const cardsOfDay = prepared((tx: ReadTx, tables) =>
  selectCards(tx, tables)
    // The subquery is answered from the index, without reading other rows.
    .where(
      sql`${tables.orders.id} IN (
        SELECT id FROM orders
        WHERE stage IN ${ANY_STAGE}
          AND settled_at >= CAST(${value("from")} AS bigint)
          AND settled_at < CAST(${value("to")} AS bigint)
          AND (CAST(${value("stage")} AS text) = '' OR stage = CAST(${value("stage")} AS text))
        ORDER BY settled_at DESC LIMIT ${value("limit")}
      )`,
    )
    .orderBy(desc(tables.orders.settledAt)),
);

/** Selects the newest paid orders of the customer with this number. */
export const cardsOfPhone = prepared((tx: ReadTx, tables) =>
  selectCards(tx, tables)
    .where(
      and(
        eq(tables.users.phoneNumber, value("phoneNumber")),
        sql`${tables.orders.stage} IS NOT NULL`,
      ),
    )
    .orderBy(desc(tables.orders.id))
    .limit(value("limit")),
);

/** Selects recent orders whose phone number matches the pattern, newest first. */
export const cardsOfLastDigits = prepared((tx: ReadTx, tables) =>
  selectCards(tx, tables)
    .where(
      sql`${tables.orders.id} > (SELECT coalesce(max(newest.id), 0) - ${sql.raw(String(SEARCHED_ORDERS))} FROM orders AS newest)
        AND ${tables.orders.stage} IS NOT NULL
        AND ${tables.users.phoneNumber} LIKE CAST(${value("pattern")} AS text)`,
    )
    .orderBy(desc(tables.orders.id))
    .limit(value("limit")),
);

/** Reads the values that change with every payment and every event. */
export const boardVersion = prepared((tx: ReadTx) =>
  tx
    .select({
      newOrders: countOf("new"),
      lastPaidAt:
        sql`(SELECT coalesce(max(settled_at), 0) FROM orders WHERE stage = 'new')`.mapWith(Number),
      lastEvent: sql`(SELECT coalesce(max(id), 0) FROM order_events)`.mapWith(Number),
      // On PostgreSQL, an event may be committed after one with a higher id.
      recentEvents:
        sql`(SELECT count(*) FROM order_events WHERE id > (SELECT max(id) - 100 FROM order_events))`.mapWith(
          Number,
        ),
    })
    .from(sql`(SELECT 1) AS one`),
);
