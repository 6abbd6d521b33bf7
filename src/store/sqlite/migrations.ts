import type { Database } from "bun:sqlite";
import type { MigrationMeta } from "drizzle-orm/migrator";
import { checkApplied, checkCurrent, readMigrations } from "../migrations.ts";

const MIGRATIONS = readMigrations("sqlite");

/** The first migration was rewritten once; what it makes is the same but for the wording of a CHECK. */
const FORMER_HASHES = new Map([
  ["43448d759ce523757b6c1866ea8a9df72fade5c7c9b6c8a141938966e0d9727f", MIGRATIONS[0]?.hash],
]);

/**
 * Throws, with a sentence for the owner, where the database has not been made by this program or an
 * older version of it. Only reads.
 */
export function assertOurs(database: Database): void {
  checkApplied(appliedMigrations(database), MIGRATIONS, hasTables(database));
}

/** Throws like `assertOurs`, and also where the database is older than this program. Only reads. */
export function assertUpToDate(database: Database): void {
  checkCurrent(appliedMigrations(database), MIGRATIONS, hasTables(database));
}

/** Applies all missing migrations in one transaction. Returns whether there were any. */
export function migrate(database: Database): boolean {
  const missing = missingMigrations(database);
  if (missing.length === 0) return false;
  // The library's own migrator hides the reason if the disk is full: its ROLLBACK fails.
  database.transaction(() => {
    database.run(
      "CREATE TABLE IF NOT EXISTS __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)",
    );
    for (const { sql, hash, folderMillis } of missing) {
      for (const statement of sql) database.run(statement);
      database.run("INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)", [
        hash,
        folderMillis,
      ]);
    }
  })();
  return true;
}

/** Returns whether the database has no tables yet. Only reads. */
export function isNew(database: Database): boolean {
  return appliedMigrations(database).length === 0 && !hasTables(database);
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
  // Earlier versions committed that table before the others, so an interrupted first start may have left it.
  const others = "SELECT 1 FROM sqlite_master WHERE tbl_name <> '__drizzle_migrations'";
  return database.query(others).get() !== null;
}
