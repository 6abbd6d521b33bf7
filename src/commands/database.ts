import type { DatabaseConfig } from "../settings.ts";
import { DatabaseUnusable } from "../store/errors.ts";
import { openPostgresReader } from "../store/postgres/store.ts";
import { openSqliteReader } from "../store/sqlite/store.ts";
import type { Reader } from "../store/store.ts";

/**
 * Returns the path of a SQLite database. Throws `DatabaseUnusable` for PostgreSQL; the message
 * names the `tool` to use instead.
 */
export function sqlitePathOf(database: DatabaseConfig, done: string, tool: string): string {
  if (database.kind === "sqlite") return database.path;
  throw new DatabaseUnusable(`A PostgreSQL database can't be ${done} by nmservis: use ${tool}.`);
}

/**
 * Runs `work` with read-only access to the database, even while a service is using it. Rejects with
 * `DatabaseUnusable`.
 */
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
