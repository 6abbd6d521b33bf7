import type { DatabaseConfig } from "../config.ts";
import { DatabaseUnusable } from "../store/errors.ts";
import { openPostgresReader } from "../store/postgres/store.ts";
import { openSqliteReader } from "../store/sqlite/store.ts";
import type { Reader } from "../store/store.ts";

/** The path of a SQLite database. Throws `DatabaseUnusable` for another, which has `tool` to be `done`. */
export function sqlitePathOf(database: DatabaseConfig, done: string, tool: string): string {
  if (database.kind === "sqlite") return database.path;
  throw new DatabaseUnusable(
    `A PostgreSQL database is ${done} by ${tool} and the server's own tools.`,
  );
}

/** Runs `work` on what the database has, beside a service that may be running. Rejects with `DatabaseUnusable`. */
export async function withReader<T>(
  database: DatabaseConfig,
  work: (reader: Reader) => Promise<T>,
): Promise<T> {
  const reader =
    database.kind === "sqlite"
      ? openSqliteReader(database.path)
      : await openPostgresReader(database.url);
  try {
    return await work(reader);
  } finally {
    await reader.close();
  }
}
