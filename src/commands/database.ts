import type { DatabaseConfig } from "../lib/database-url.ts";
import { DatabaseUnusable } from "../store/errors.ts";
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
  const reader = await openReader(database);
  try {
    return await work(reader);
  } finally {
    await reader.close();
  }
}

async function openReader(database: DatabaseConfig): Promise<Reader> {
  if (database.kind === "sqlite") return openSqliteReader(database.path);
  // Loaded only if needed, as in `serve`.
  const { openPostgresReader } = await import("../store/postgres/store.ts");
  return openPostgresReader(database.url);
}
