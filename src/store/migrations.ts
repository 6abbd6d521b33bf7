import { readFileSync } from "node:fs";
import { join } from "node:path";
import { digest } from "../lib/digest.ts";

/** The executable embeds the migrations. */
const FOLDER = join(import.meta.dir, Bun.isStandaloneExecutable ? "drizzle" : "../../drizzle");

/** A migration made by drizzle-kit. */
export interface Migration {
  readonly statements: readonly string[];
  /** SHA-256 of the file. The database keeps it. */
  readonly hash: string;
  readonly createdAt: number;
}

/**
 * Returns this version's migrations for a dialect, oldest first. Drizzle's own function does the
 * same, but loads `node:crypto`, which adds 8 ms to each start.
 */
export function readMigrations(dialect: "sqlite" | "postgres"): Migration[] {
  const folder = join(FOLDER, dialect);
  // `as`: drizzle-kit writes the journal.
  const journal = JSON.parse(readFileSync(join(folder, "meta/_journal.json"), "utf8")) as {
    readonly entries: readonly { readonly tag: string; readonly when: number }[];
  };
  return journal.entries.map(({ tag, when }) => {
    const file = readFileSync(join(folder, `${tag}.sql`), "utf8");
    return {
      statements: file.split("--> statement-breakpoint"),
      hash: digest(file).toHex(),
      createdAt: when,
    };
  });
}

/**
 * Throws, with a reason for the owner, if the database was not created by this version or an older
 * one. `hasTables`: whether the database has any tables.
 */
export function checkApplied(
  applied: readonly string[],
  migrations: readonly Migration[],
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
  migrations: readonly Migration[],
  hasTables: boolean,
): void {
  checkApplied(applied, migrations, hasTables);
  if (applied.length === migrations.length) return;
  if (applied.length === 0) {
    throw new Error("it has no tables yet: start the service, which creates them");
  }
  throw new Error("it is older than this version: start the service, which migrates it");
}
