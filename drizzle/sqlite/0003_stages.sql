CREATE TABLE `__new_orders` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`user_id` integer NOT NULL,
	`tariff_code` text NOT NULL,
	`amount_tiyin` integer NOT NULL,
	`status` text NOT NULL,
	`idempotency_key` text,
	`payment_key` text NOT NULL,
	`created_at` integer NOT NULL,
	`settled_at` integer,
	`notified_at` integer,
	`due_at` integer,
	`attempts` integer NOT NULL,
	`repeatable` integer NOT NULL,
	`stage` text,
	`stage_at` integer,
	`refund` text,
	`cancel_reason` text,
	`address` text,
	`comment` text,
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`tariff_code`) REFERENCES `tariffs`(`code`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "orders_amount_is_positive" CHECK("__new_orders"."amount_tiyin" >= 1),
	CONSTRAINT "orders_status_is_known" CHECK("__new_orders"."status" = 'pending' OR "__new_orders"."status" = 'paid' OR "__new_orders"."status" = 'declined'),
	CONSTRAINT "orders_pending_is_unsettled" CHECK(("__new_orders"."status" = 'pending') = ("__new_orders"."settled_at" IS NULL)),
	CONSTRAINT "orders_only_paid_is_notified" CHECK("__new_orders"."status" = 'paid' OR "__new_orders"."notified_at" IS NULL),
	CONSTRAINT "orders_is_due_until_done" CHECK(("__new_orders"."due_at" IS NOT NULL) = ("__new_orders"."status" = 'pending' OR ("__new_orders"."status" = 'paid' AND "__new_orders"."notified_at" IS NULL))),
	CONSTRAINT "orders_repeatable_is_boolean" CHECK("__new_orders"."repeatable" = 0 OR "__new_orders"."repeatable" = 1),
	CONSTRAINT "orders_only_paid_has_stage" CHECK(("__new_orders"."status" = 'paid') = ("__new_orders"."stage" IS NOT NULL) AND ("__new_orders"."stage" IS NULL) = ("__new_orders"."stage_at" IS NULL)),
	CONSTRAINT "orders_only_cancelled_has_refund" CHECK(("__new_orders"."stage" IS NOT NULL AND "__new_orders"."stage" = 'cancelled') OR ("__new_orders"."refund" IS NULL AND "__new_orders"."cancel_reason" IS NULL))
) STRICT;
--> statement-breakpoint
INSERT INTO `__new_orders`("id", "user_id", "tariff_code", "amount_tiyin", "status", "idempotency_key", "payment_key", "created_at", "settled_at", "notified_at", "due_at", "attempts", "repeatable", "stage", "stage_at", "refund", "cancel_reason", "address", "comment") SELECT "id", "user_id", "tariff_code", "amount_tiyin", "status", "idempotency_key", "payment_key", "created_at", "settled_at", "notified_at", "due_at", "attempts", "repeatable", CASE WHEN "status" <> 'paid' THEN NULL WHEN "notified_at" < (unixepoch() - 86400) * 1000 THEN 'completed' ELSE 'new' END, CASE WHEN "status" = 'paid' THEN coalesce("notified_at", "settled_at") END, NULL, NULL, NULL, NULL FROM `orders`;--> statement-breakpoint
UPDATE `sqlite_sequence` SET "seq" = (SELECT "seq" FROM `sqlite_sequence` WHERE "name" = 'orders') WHERE "name" = '__new_orders';--> statement-breakpoint
DROP TABLE `orders`;--> statement-breakpoint
ALTER TABLE `__new_orders` RENAME TO `orders`;--> statement-breakpoint
CREATE UNIQUE INDEX `orders_idempotency_key` ON `orders` (`user_id`,`idempotency_key`);--> statement-breakpoint
CREATE UNIQUE INDEX `orders_repeat` ON `orders` (`user_id`,`tariff_code`) WHERE "orders"."repeatable" = 1;--> statement-breakpoint
CREATE INDEX `orders_due` ON `orders` (`status`,`due_at`) WHERE "orders"."due_at" IS NOT NULL;--> statement-breakpoint
CREATE INDEX `orders_stage` ON `orders` (`stage`,`settled_at`,`amount_tiyin`) WHERE "orders"."stage" IS NOT NULL;--> statement-breakpoint
CREATE INDEX `orders_refund` ON `orders` (`settled_at`) WHERE "orders"."refund" = 'owed';--> statement-breakpoint
CREATE TABLE `order_events` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`order_id` integer NOT NULL,
	`at` integer NOT NULL,
	`actor` text NOT NULL,
	`kind` text NOT NULL,
	`from_stage` text,
	`to_stage` text,
	`reason` text,
	`note` text,
	`due_at` integer,
	`attempts` integer NOT NULL,
	FOREIGN KEY (`order_id`) REFERENCES `orders`(`id`) ON UPDATE no action ON DELETE no action
) STRICT;
--> statement-breakpoint
CREATE INDEX `order_events_order` ON `order_events` (`order_id`);--> statement-breakpoint
CREATE INDEX `order_events_due` ON `order_events` (`due_at`) WHERE "order_events"."due_at" IS NOT NULL;
