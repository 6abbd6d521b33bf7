import { join } from "node:path";
import { type MigrationMeta, readMigrationFiles } from "drizzle-orm/migrator";

/** The executable has them inside. */
const FOLDER = join(import.meta.dir, Bun.isStandaloneExecutable ? "drizzle" : "../../drizzle");

/** The migrations that this program knows for a dialect, the oldest first. */
export function readMigrations(dialect: "sqlite" | "postgres"): MigrationMeta[] {
  return readMigrationFiles({ migrationsFolder: join(FOLDER, dialect) });
}

/**
 * Throws, with a sentence for the owner, where a database with these migrations has not been made by this
 * program or an older version of it. `hasTables`: whether it has any table at all.
 */
export function checkApplied(
  applied: readonly string[],
  migrations: readonly MigrationMeta[],
  hasTables: boolean,
): void {
  const isOurs = migrations.every(({ hash }, at) => (applied[at] ?? hash) === hash);
  if (!isOurs || (applied.length === 0 && hasTables)) {
    throw new Error("it was not made by NMservis, or by another line of versions");
  }
  if (applied.length > migrations.length) {
    throw new Error(
      `a newer version of NMservis has changed it (${applied.length} migrations, this version knows ${migrations.length}): start that version`,
    );
  }
}

/** Throws like `checkApplied`, and also where the database is older than this program. */
export function checkCurrent(
  applied: readonly string[],
  migrations: readonly MigrationMeta[],
  hasTables: boolean,
): void {
  checkApplied(applied, migrations, hasTables);
  if (applied.length === migrations.length) return;
  if (applied.length === 0) {
    throw new Error("it has no tables yet: start the service, which creates them");
  }
  throw new Error("it is older than this version: start the service, which brings it up to date");
}
