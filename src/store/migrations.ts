import type { Database } from "bun:sqlite";
import type { MigrationMeta } from "drizzle-orm/migrator";
import { checkApplied, checkCurrent, readMigrations } from "./migration-history.ts";

const MIGRATIONS = readMigrations("sqlite");

/** The first migration was rewritten once; what it makes is the same but for the wording of a CHECK. */
const FORMER_HASHES = new Map([
  ["43448d759ce523757b6c1866ea8a9df72fade5c7c9b6c8a141938966e0d9727f", MIGRATIONS[0]?.hash],
]);

/**
 * Throws, with a sentence for the owner, where the database has not been made by this program or an
 * older version of it. Only reads.
 */
export function checkHistory(database: Database): void {
  checkApplied(appliedMigrations(database), MIGRATIONS, hasTables(database));
}

/** Throws like `checkHistory`, and also where the database is older than this program. Only reads. */
export function checkIsCurrent(database: Database): void {
  checkCurrent(appliedMigrations(database), MIGRATIONS, hasTables(database));
}

/** Brings the database up to date, each migration whole or not at all. True where it had to. */
export function migrate(database: Database): boolean {
  database.run(
    "CREATE TABLE IF NOT EXISTS __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)",
  );
  const missing = missingMigrations(database);
  for (const { sql, hash, folderMillis } of missing) {
    // Not the library's own migrator: where the disk is full, its ROLLBACK hides why.
    database.transaction(() => {
      for (const statement of sql) database.run(statement);
      database.run("INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)", [
        hash,
        folderMillis,
      ]);
    })();
  }
  return missing.length > 0;
}

/** The migrations that the database has not. */
export function missingMigrations(database: Database): readonly MigrationMeta[] {
  return MIGRATIONS.slice(appliedMigrations(database).length);
}

/** The hashes of the migrations that the database has. */
export function appliedMigrations(database: Database): string[] {
  const table = database.query("SELECT 1 FROM sqlite_master WHERE name = '__drizzle_migrations'");
  if (table.get() === null) return [];
  return database
    .query<{ hash: string }, []>("SELECT hash FROM __drizzle_migrations ORDER BY created_at")
    .all()
    .map(({ hash }) => FORMER_HASHES.get(hash) ?? hash);
}

function hasTables(database: Database): boolean {
  return database.query("SELECT 1 FROM sqlite_master").get() !== null;
}
