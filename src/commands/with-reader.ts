import type { DatabaseConfig } from "../config.ts";
import { openPostgresReader } from "../store/postgres/store.ts";
import { openSqliteReader } from "../store/sqlite/store.ts";
import type { Reader } from "../store/store.ts";

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
