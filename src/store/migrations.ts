import { join } from "node:path";
import { type MigrationMeta, readMigrationFiles } from "drizzle-orm/migrator";

/** The executable embeds the migrations. */
const FOLDER = join(import.meta.dir, Bun.isStandaloneExecutable ? "drizzle" : "../../drizzle");

/** Returns this version's migrations for a dialect, oldest first. */
export function readMigrations(dialect: "sqlite" | "postgres"): MigrationMeta[] {
  return readMigrationFiles({ migrationsFolder: join(FOLDER, dialect) });
}

/**
 * Throws, with a reason for the owner, if the database was not created by this version or an older
 * one. `hasTables`: whether the database has any tables.
 */
export function checkApplied(
  applied: readonly string[],
  migrations: readonly MigrationMeta[],
  hasTables: boolean,
): void {
  const isOurs = migrations.every(({ hash }, at) => (applied[at] ?? hash) === hash);
  if (!isOurs || (applied.length === 0 && hasTables)) {
    throw new Error("it was not created by NMservis, or its migration history differs");
  }
  if (applied.length > migrations.length) {
    throw new Error(
      `a newer version of NMservis has migrated it (${applied.length} migrations, this version has ${migrations.length}): start that version`,
    );
  }
}

/** Throws like `checkApplied`, and also if the database is older than this version. */
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
  throw new Error("it is older than this version: start the service, which migrates it");
}
