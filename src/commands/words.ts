import type { DatabaseConfig } from "../config.ts";
import { DatabaseUnusable } from "../store/database-lock.ts";
import type { LastOrder } from "../store/examine-database.ts";

/** An order, by its number and its time. */
export function orderInWords(order: LastOrder | undefined): string {
  if (order === undefined) return "there is no order in it";
  return `its last order is ${order.id} of ${new Date(order.createdAt).toISOString()}`;
}

/** The path of a SQLite database. Throws `DatabaseUnusable` for another, which has `tool` to be `done`. */
export function requireSqlite(database: DatabaseConfig, done: string, tool: string): string {
  if (database.kind === "sqlite") return database.path;
  throw new DatabaseUnusable(
    `A PostgreSQL database is ${done} by ${tool} and the server's own tools.`,
  );
}
