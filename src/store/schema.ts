import { type SQL, sql } from "drizzle-orm";
import type { Columns } from "./dialect.ts";

/** An order is `pending` until the provider has said `paid` or `declined`, and then stays that. */
export const ORDER_STATUSES = ["pending", "paid", "declined"] as const;

/** Where a paid order is with the dispatcher. */
export const STAGES = ["new", "accepted", "in_progress", "completed", "cancelled"] as const;

/** Money of a cancelled order that is to be given back, and was given back by hand. */
export const REFUNDS = ["owed", "given"] as const;

/** What is done with a paid order, that its customer's number was looked at, and that its payment is no longer in doubt. */
export const EVENT_KINDS = [
  "accept",
  "start",
  "complete",
  "cancel",
  "undo",
  "refund",
  "phone_shown",
  "settled",
] as const;

/** Why an order was cancelled. */
export const CANCEL_REASONS = [
  "customer",
  "no_answer",
  "no_specialist",
  "area",
  "duplicate",
  "other",
] as const;

export type Stage = (typeof STAGES)[number];
export type CancelReason = (typeof CANCEL_REASONS)[number];
export type Tables = ReturnType<typeof createTables>;
export type User = Tables["users"]["$inferSelect"];
export type Tariff = Tables["tariffs"]["$inferSelect"];
export type Order = Tables["orders"]["$inferSelect"];
export type OrderEvent = Tables["orderEvents"]["$inferSelect"];

/**
 * The whole database on one page, for each dialect. Instants are milliseconds since 1970 in UTC, money is in
 * tiyin (1 sum = 100 tiyin). After a change here: `bun run migration`.
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
      /** When an SMS to this number was last tried: the cooldown counts from here. */
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
      /** The tariff's price at the moment of the order; a later price does not touch it. */
      amountTiyin: integer().notNull(),
      status: text({ enum: ORDER_STATUSES }).notNull(),
      /** The client's name for the request; null when it gave none. */
      idempotencyKey: text(),
      /** Our name for the payment, random: ids come again after a restore, this never does. */
      paymentKey: text().notNull(),
      createdAt: integer().notNull(),
      settledAt: integer(),
      /** When the dispatcher had been told. */
      notifiedAt: integer(),
      /** When something is to be done next: ask the provider (pending), tell the dispatcher (paid). */
      dueAt: integer(),
      /** How often the provider was asked, or the dispatcher told, in this status. */
      attempts: integer().notNull(),
      /** An order without a key may repeat this one: it has none itself, and was not declined. */
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
      // Not with IN, for which SQLite would build a table at every write.
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
      // Orders without a key are in it too, and not alike: a user's orders are found by it.
      uniqueIndex("orders_idempotency_key").on(order.userId, order.idempotencyKey),
      ...(columns.dialect.isShared ? [uniqueIndex("orders_payment_key").on(order.paymentKey)] : []),
      // Rows that need no entry cost none: an order is repeatable for a while, and due until it is done.
      uniqueIndex("orders_repeat")
        .on(order.userId, order.tariffCode)
        .where(sql`${order.repeatable} = ${columns.dialect.set}`),
      // The status comes first: many orders of one are not to hide the few of the other.
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

  /** What was done with orders, by whom: never changed but for its delivery to the webhook. */
  const orderEvents = table(
    "order_events",
    {
      id: id(),
      orderId: integer()
        .notNull()
        .references(() => orders.id),
      at: integer().notNull(),
      /** The dispatcher's name. */
      actor: text().notNull(),
      kind: text({ enum: EVENT_KINDS }).notNull(),
      fromStage: text({ enum: STAGES }),
      toStage: text({ enum: STAGES }),
      reason: text({ enum: CANCEL_REASONS }),
      note: text(),
      /** When it is to be delivered next; null where it is not, or was. */
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

  function flagCheck(name: string, isFlag: SQL) {
    return columns.flagsAreNumbers ? [check(name, isFlag)] : [];
  }

  return { users, tariffs, orders, orderEvents };
}
