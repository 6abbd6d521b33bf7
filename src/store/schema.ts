import { sql } from "drizzle-orm";
import { check, index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

// The whole database on one page. Instants are milliseconds since 1970 in UTC, money is in tiyin
// (1 sum = 100 tiyin). After a change here: `bun run migration`.

export const users = sqliteTable(
  "users",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    /** E.164, with the plus. */
    phoneNumber: text().notNull().unique("users_phone_number"),
    chatId: integer(),
    fullName: text(),
    createdAt: integer().notNull(),
    /** When an SMS to this number was last tried: the cooldown counts from here. */
    smsTriedAt: integer().notNull(),
  },
  (user) => [
    check("users_phone_number_is_e164", sql`${user.phoneNumber} GLOB '+[1-9]*'`),
    index("users_chat_id")
      .on(user.chatId)
      .where(sql`${user.chatId} IS NOT NULL`),
  ],
);

export const tariffs = sqliteTable(
  "tariffs",
  {
    code: text().primaryKey(),
    title: text().notNull(),
    priceTiyin: integer().notNull(),
    active: integer({ mode: "boolean" }).notNull(),
  },
  (tariff) => [
    check("tariffs_price_is_positive", sql`${tariff.priceTiyin} >= 1`),
    check("tariffs_active_is_boolean", sql`${tariff.active} IN (0, 1)`),
  ],
);

/** An order is `pending` until the provider has said `paid` or `declined`, and then stays that. */
export const ORDER_STATUSES = ["pending", "paid", "declined"] as const;

export const orders = sqliteTable(
  "orders",
  {
    id: integer().primaryKey({ autoIncrement: true }),
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
    repeatable: integer({ mode: "boolean" }).notNull(),
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
    check("orders_repeatable_is_boolean", sql`${order.repeatable} = 0 OR ${order.repeatable} = 1`),
    // Orders without a key are in it too, and not alike: a user's orders are found by it.
    uniqueIndex("orders_idempotency_key").on(order.userId, order.idempotencyKey),
    // Rows that need no entry cost none: an order is repeatable for a while, and due until it is done.
    uniqueIndex("orders_repeat")
      .on(order.userId, order.tariffCode)
      .where(sql`${order.repeatable} = 1`),
    // The status comes first: many orders of one are not to hide the few of the other.
    index("orders_due")
      .on(order.status, order.dueAt)
      .where(sql`${order.dueAt} IS NOT NULL`),
  ],
);
