import type { Database } from "bun:sqlite";
import { checkApplied, checkCurrent, type Migration, readMigrations } from "../migrations.ts";

const MIGRATIONS = readMigrations("sqlite");

/** The first migration was rewritten once; only the wording of a CHECK differs. */
const FORMER_HASHES = new Map([
  ["43448d759ce523757b6c1866ea8a9df72fade5c7c9b6c8a141938966e0d9727f", MIGRATIONS[0]?.hash],
]);

/**
 * Throws, with a reason for the owner, if the database was not created by this version or an older
 * one. Only reads.
 */
export function assertOurs(database: Database): void {
  checkApplied(appliedMigrations(database), MIGRATIONS, hasTables(database));
}

/** Throws like `assertOurs`, and also if the database is older than this version. Only reads. */
export function assertUpToDate(database: Database): void {
  checkCurrent(appliedMigrations(database), MIGRATIONS, hasTables(database));
}

/** Applies all missing migrations in one transaction. Returns whether there were any. */
export function migrate(database: Database): boolean {
  const missing = missingMigrations(database);
  if (missing.length === 0) return false;
  // Drizzle's migrator hides the reason if the disk is full, because its ROLLBACK fails.
  database.transaction(() => {
    database.run(
      "CREATE TABLE IF NOT EXISTS __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)",
    );
    for (const { statements, hash, createdAt } of missing) {
      for (const statement of statements) database.run(statement);
      database.run("INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)", [
        hash,
        createdAt,
      ]);
    }
  })();
  return true;
}

/** Returns whether the database has no tables yet. Only reads. */
export function isNew(database: Database): boolean {
  return appliedMigrations(database).length === 0 && !hasTables(database);
}

/** Returns the migrations that are not applied yet. */
export function missingMigrations(database: Database): readonly Migration[] {
  return MIGRATIONS.slice(appliedMigrations(database).length);
}

/** Returns the hashes of the applied migrations. */
export function appliedMigrations(database: Database): string[] {
  const table = database.query("SELECT 1 FROM sqlite_master WHERE name = '__drizzle_migrations'");
  if (table.get() === null) return [];
  return database
    .query<{ hash: string }, []>("SELECT hash FROM __drizzle_migrations ORDER BY created_at")
    .all()
    .map(({ hash }) => FORMER_HASHES.get(hash) ?? hash);
}

function hasTables(database: Database): boolean {
  // Earlier versions committed `__drizzle_migrations` first, so an interrupted first start may have
  // left only that table.
  const others = "SELECT 1 FROM sqlite_master WHERE tbl_name <> '__drizzle_migrations'";
  return database.query(others).get() !== null;
}
