DROP INDEX `orders_idempotency_key`;--> statement-breakpoint
CREATE UNIQUE INDEX `orders_idempotency_key` ON `orders` (`user_id`,`idempotency_key`);--> statement-breakpoint
CREATE INDEX `users_chat_id` ON `users` (`chat_id`) WHERE "users"."chat_id" IS NOT NULL;