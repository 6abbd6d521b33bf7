CREATE TABLE `orders` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`user_id` integer NOT NULL,
	`tariff_code` text NOT NULL,
	`amount_tiyin` integer NOT NULL,
	`status` text NOT NULL,
	`idempotency_key` text,
	`payment_key` text NOT NULL,
	`created_at` integer NOT NULL,
	`settled_at` integer,
	`announced_at` integer,
	`due_at` integer,
	`attempts` integer NOT NULL,
	`repeat_until` integer,
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`tariff_code`) REFERENCES `tariffs`(`code`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "orders_amount_is_positive" CHECK("orders"."amount_tiyin" >= 1),
	CONSTRAINT "orders_status_is_known" CHECK("orders"."status" = 'pending' OR "orders"."status" = 'paid' OR "orders"."status" = 'declined'),
	CONSTRAINT "orders_pending_is_unsettled" CHECK(("orders"."status" = 'pending') = ("orders"."settled_at" IS NULL)),
	CONSTRAINT "orders_only_paid_is_announced" CHECK("orders"."status" = 'paid' OR "orders"."announced_at" IS NULL),
	CONSTRAINT "orders_is_due_until_done" CHECK(("orders"."due_at" IS NOT NULL) = ("orders"."status" = 'pending' OR ("orders"."status" = 'paid' AND "orders"."announced_at" IS NULL)))
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `orders_idempotency_key` ON `orders` (`user_id`,`idempotency_key`) WHERE "orders"."idempotency_key" IS NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX `orders_repeat` ON `orders` (`user_id`,`tariff_code`) WHERE "orders"."repeat_until" IS NOT NULL;--> statement-breakpoint
CREATE INDEX `orders_due` ON `orders` (`due_at`) WHERE "orders"."due_at" IS NOT NULL;--> statement-breakpoint
CREATE TABLE `tariffs` (
	`code` text PRIMARY KEY NOT NULL,
	`title` text NOT NULL,
	`price_tiyin` integer NOT NULL,
	`active` integer NOT NULL,
	CONSTRAINT "tariffs_price_is_positive" CHECK("tariffs"."price_tiyin" >= 1),
	CONSTRAINT "tariffs_active_is_boolean" CHECK("tariffs"."active" IN (0, 1))
) STRICT;
--> statement-breakpoint
CREATE TABLE `users` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`phone_number` text NOT NULL,
	`chat_id` integer,
	`full_name` text,
	`created_at` integer NOT NULL,
	`sms_tried_at` integer NOT NULL,
	CONSTRAINT "users_phone_number_is_e164" CHECK("users"."phone_number" GLOB '+[1-9]*')
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `users_phone_number` ON `users` (`phone_number`);--> statement-breakpoint
INSERT INTO `tariffs` (`code`, `title`, `price_tiyin`, `active`) VALUES ('standard_300', 'Standard', 30000, 1);
