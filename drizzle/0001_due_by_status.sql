DROP INDEX `orders_due`;--> statement-breakpoint
CREATE INDEX `orders_due` ON `orders` (`status`,`due_at`) WHERE "orders"."due_at" IS NOT NULL;