import { Database, SQLiteError } from "bun:sqlite";
import { existsSync, realpathSync, statSync } from "node:fs";
import type { Log } from "../../log.ts";
import { DatabaseUnusable } from "./lock.ts";
import { checkHistory } from "./migrations.ts";

/** Throws if this program can't or must not write to the database. Changes nothing but an interrupted transaction. */
export function inspectDatabase(path: string, log: Log): void {
  rollBackJournal(path);
  if (statSync(path).size === 0) return;
  const finding = findDamage(path, log);
  if (finding === "ok") return;
  throw new DatabaseUnusable(
    `The database ${path} is damaged (${finding}). Restore a backup; remove ${logPath(path)} first, which belongs to what was there before.`,
  );
}

/** Throws where the history is another's; else what SQLite finds in the file, "ok" if that is nothing. */
function findDamage(path: string, log: Log): unknown {
  using database = new Database(path, { readonly: true, strict: true });
  try {
    checkHistory(database);
    const wasClosed = (statSync(logPath(path), { throwIfNoEntry: false })?.size ?? 0) === 0;
    if (wasClosed) return "ok";
    log.info(`The database ${path} was not closed: it is checked first.`);
    const [finding] = database.query("PRAGMA integrity_check(1)").values()[0] ?? [];
    // Before the finding SQLite may name the database in a line of its own.
    return String(finding).split("\n").at(-1);
  } catch (error) {
    if (error instanceof SQLiteError && error.code === "SQLITE_CORRUPT") return error.message;
    throw error;
  }
}

/**
 * Rolls back an interrupted transaction from before the write-ahead log, such as the one that turns the log
 * on. Until then, read-only connections fail with `SQLITE_READONLY_ROLLBACK`.
 */
export function rollBackJournal(path: string): void {
  if (!existsSync(journalPath(path))) return;
  using database = new Database(path, { readwrite: true });
  database.query("SELECT 1 FROM sqlite_master").get();
}

/** Returns the path of SQLite's rollback journal. The database must exist. */
export function journalPath(path: string): string {
  return `${realpathSync(path)}-journal`;
}

/** Where SQLite has the write-ahead log of the database at this path, which must exist. */
export function logPath(path: string): string {
  return `${realpathSync(path)}-wal`;
}
