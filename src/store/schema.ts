import { type SQL, sql, type SQLWrapper } from "drizzle-orm";
import type * as postgres from "drizzle-orm/pg-core";

/** The payment's status; `paid` and `declined` are final. */
export const ORDER_STATUSES = ["pending", "paid", "declined"] as const;

/** The dispatcher's progress on a paid order. */
export const STAGES = ["new", "accepted", "in_progress", "completed", "cancelled"] as const;

/** The stages of a visit that is still to be made; a dispatcher can cancel these orders. */
export const OPEN_STAGES = ["new", "accepted", "in_progress"] as const;

/**
 * The refund of a cancelled order. Dispatchers mark it as given after they have refunded it at the
 * provider.
 */
export const REFUNDS = ["owed", "given"] as const;

/**
 * Dispatchers' actions on a paid order, their lookups of the phone number, and the settlement of a
 * payment in doubt.
 */
const EVENT_KINDS = [
  "accept",
  "start",
  "complete",
  "cancel",
  "undo",
  "refund",
  "phone_shown",
  "settled",
] as const;

/** Reasons for a cancellation. */
export const CANCEL_REASONS = [
  "customer",
  "no_answer",
  "no_specialist",
  "area",
  "duplicate",
  "other",
] as const;

export type Stage = (typeof STAGES)[number];
export type OpenStage = (typeof OPEN_STAGES)[number];
export type CancelReason = (typeof CANCEL_REASONS)[number];
export type Tables = ReturnType<typeof createTables>;
export type User = Tables["users"]["$inferSelect"];
export type Tariff = Tables["tariffs"]["$inferSelect"];
export type Order = Tables["orders"]["$inferSelect"];
export type OrderEvent = Tables["orderEvents"]["$inferSelect"];

/**
 * Defines the tables for a dialect. Times are in ms since 1970 (UTC), money is in tiyin (1 sum =
 * 100 tiyin). After a change here, run `bun run migration`.
 */
export function createTables(columns: Columns) {
  const { table, id, integer, flag, text, check, index, uniqueIndex } = columns;

  const users = table(
    "users",
    {
      id: id(),
      /** E.164, with the plus. */
      phoneNumber: text().notNull().unique("users_phone_number"),
      chatId: integer(),
      fullName: text(),
      createdAt: integer().notNull(),
      /** When an SMS to this number was last attempted; the cooldown starts here. */
      smsTriedAt: integer().notNull(),
    },
    (user) => [
      check("users_phone_number_is_e164", columns.beginsAsE164(user.phoneNumber)),
      index("users_chat_id")
        .on(user.chatId)
        .where(sql`${user.chatId} IS NOT NULL`),
    ],
  );

  const tariffs = table(
    "tariffs",
    {
      code: text().primaryKey(),
      title: text().notNull(),
      priceTiyin: integer().notNull(),
      active: flag().notNull(),
    },
    (tariff) => [
      check("tariffs_price_is_positive", sql`${tariff.priceTiyin} >= 1`),
      ...flagCheck("tariffs_active_is_boolean", sql`${tariff.active} IN (0, 1)`),
    ],
  );

  const orders = table(
    "orders",
    {
      id: id(),
      userId: integer()
        .notNull()
        .references(() => users.id),
      tariffCode: text()
        .notNull()
        .references(() => tariffs.code),
      /** The tariff's price when the order was created; later price changes do not affect it. */
      amountTiyin: integer().notNull(),
      status: text({ enum: ORDER_STATUSES }).notNull(),
      /** The client's `Idempotency-Key`; null if it sent none. */
      idempotencyKey: text(),
      /** Random key of the payment. Unlike ids, it can't recur after a restore. */
      paymentKey: text().notNull(),
      createdAt: integer().notNull(),
      settledAt: integer(),
      /** When the dispatcher was notified. */
      notifiedAt: integer(),
      /** When the next attempt is due: to charge (pending) or to notify the dispatcher (paid). */
      dueAt: integer(),
      /** Attempts to charge or to notify in the current status. */
      attempts: integer().notNull(),
      /** Whether an order without a key may repeat this one: it has no key and was not declined. */
      repeatable: flag().notNull(),
      /** Null unless the order is paid. */
      stage: text({ enum: STAGES }),
      stageAt: integer(),
      refund: text({ enum: REFUNDS }),
      cancelReason: text({ enum: CANCEL_REASONS }),
      address: text(),
      comment: text(),
    },
    (order) => [
      check("orders_amount_is_positive", sql`${order.amountTiyin} >= 1`),
      // Not IN: SQLite would build a temporary table for it on every write.
      check(
        "orders_status_is_known",
        sql`${order.status} = 'pending' OR ${order.status} = 'paid' OR ${order.status} = 'declined'`,
      ),
      check(
        "orders_pending_is_unsettled",
        sql`(${order.status} = 'pending') = (${order.settledAt} IS NULL)`,
      ),
      check(
        "orders_only_paid_is_notified",
        sql`${order.status} = 'paid' OR ${order.notifiedAt} IS NULL`,
      ),
      check(
        "orders_is_due_until_done",
        sql`(${order.dueAt} IS NOT NULL) = (${order.status} = 'pending' OR (${order.status} = 'paid' AND ${order.notifiedAt} IS NULL))`,
      ),
      ...flagCheck(
        "orders_repeatable_is_boolean",
        sql`${order.repeatable} = 0 OR ${order.repeatable} = 1`,
      ),
      check(
        "orders_only_paid_has_stage",
        sql`(${order.status} = 'paid') = (${order.stage} IS NOT NULL) AND (${order.stage} IS NULL) = (${order.stageAt} IS NULL)`,
      ),
      check(
        "orders_only_cancelled_has_refund",
        sql`(${order.stage} IS NOT NULL AND ${order.stage} = 'cancelled') OR (${order.refund} IS NULL AND ${order.cancelReason} IS NULL)`,
      ),
      // Not partial, because it also serves lookups of a user's orders. Null keys never conflict.
      uniqueIndex("orders_idempotency_key").on(order.userId, order.idempotencyKey),
      ...(columns.dialect.isShared ? [uniqueIndex("orders_payment_key").on(order.paymentKey)] : []),
      // Partial indexes are cheap: an order is repeatable only for a while, and due only until
      // done.
      uniqueIndex("orders_repeat")
        .on(order.userId, order.tariffCode)
        .where(sql`${order.repeatable} = ${columns.dialect.trueLiteral}`),
      // Status first: many due orders of one status must not slow down lookups of the other.
      index("orders_due")
        .on(order.status, order.dueAt)
        .where(sql`${order.dueAt} IS NOT NULL`),
      index("orders_stage")
        .on(order.stage, order.settledAt, order.amountTiyin)
        .where(sql`${order.stage} IS NOT NULL`),
      index("orders_refund")
        .on(order.settledAt)
        .where(sql`${order.refund} = 'owed'`),
    ],
  );

  /** Audit log of orders. Only the webhook delivery columns of a row ever change. */
  const orderEvents = table(
    "order_events",
    {
      id: id(),
      orderId: integer()
        .notNull()
        .references(() => orders.id),
      at: integer().notNull(),
      /** The dispatcher's name; empty for `settled`. */
      actor: text().notNull(),
      kind: text({ enum: EVENT_KINDS }).notNull(),
      fromStage: text({ enum: STAGES }),
      toStage: text({ enum: STAGES }),
      reason: text({ enum: CANCEL_REASONS }),
      note: text(),
      /** When the next webhook delivery is due; null if none is. */
      dueAt: integer(),
      attempts: integer().notNull(),
    },
    (event) => [
      index("order_events_order").on(event.orderId),
      index("order_events_due")
        .on(event.dueAt)
        .where(sql`${event.dueAt} IS NOT NULL`),
    ],
  );

  /** Used sign-in links; so few that none is deleted. */
  const usedLinks = table("used_links", {
    link: text().primaryKey(),
    /** Digest of the cookie of the browser that used the link, and may use it again. */
    browser: text().notNull(),
  });

  function flagCheck(name: string, isFlag: SQL) {
    return columns.flagsAreNumbers ? [check(name, isFlag)] : [];
  }

  return { users, tariffs, orders, orderEvents, usedLinks };
}

/** The differences between the engines that the query builders don't cover. */
export interface Dialect {
  /**
   * Whether the database is on a server: other processes may use it too, and a commit's
   * acknowledgement can be lost. An insert with an unknown outcome must be looked up by key, not
   * repeated.
   */
  readonly isShared: boolean;
  /** Expands a JSON array to rows with one column, `value`. */
  readonly jsonEach: (json: SQLWrapper) => SQL;
  /** The id of a table's next row. */
  readonly nextId: (table: "users" | "orders") => SQL;
  /** The boolean true. */
  readonly trueLiteral: SQL;
  /** Skips rows that another transaction has locked. */
  readonly skipLocked: SQL;
}

// Typed as PostgreSQL's builders, whose API is smaller.

/** Table, column and index builders of one dialect. */
export interface Columns {
  readonly dialect: Dialect;
  readonly table: typeof postgres.pgTable;
  /** A generated primary key. Ids are never reused. */
  readonly id: () => IdBuilder;
  /** An integer up to 2^53 - 1: an id, an amount, or a time in ms. */
  readonly integer: () => IntegerBuilder;
  readonly flag: typeof postgres.boolean;
  readonly text: typeof postgres.text;
  readonly check: typeof postgres.check;
  readonly index: typeof postgres.index;
  readonly uniqueIndex: typeof postgres.uniqueIndex;
  /** The condition that a string begins with `+` and a digit other than 0. */
  readonly beginsAsE164: (column: unknown) => SQL;
  /** Whether flags are stored as numbers, so that they need a check constraint. */
  readonly flagsAreNumbers: boolean;
}

/** A builder of `integer` columns. */
type IntegerBuilder = ReturnType<typeof postgres.bigint<"number">>;

/** A builder of `id` columns. */
type IdBuilder = ReturnType<
  ReturnType<IntegerBuilder["primaryKey"]>["generatedByDefaultAsIdentity"]
>;
