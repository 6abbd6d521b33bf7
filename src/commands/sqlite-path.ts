import type { DatabaseConfig } from "../config.ts";
import { DatabaseUnusable } from "../store/sqlite/lock.ts";

/** The path of a SQLite database. Throws `DatabaseUnusable` for another, which has `tool` to be `done`. */
export function sqlitePathOf(database: DatabaseConfig, done: string, tool: string): string {
  if (database.kind === "sqlite") return database.path;
  throw new DatabaseUnusable(
    `A PostgreSQL database is ${done} by ${tool} and the server's own tools.`,
  );
}
