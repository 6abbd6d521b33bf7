import { lstatSync, readlinkSync, realpathSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseUnusable } from "../errors.ts";
import { fileAt, readAt, sizeOf } from "./file-system.ts";

/** Offset of the rollback journal's field with the database's original size in pages. */
const FORMER_PAGES_OFFSET = 16;
const FORMER_PAGES_BYTES = 4;

/** Returns the path of SQLite's rollback journal. */
export function journalPath(path: string): string {
  return `${targetOf(path)}-journal`;
}

/** Returns the path of SQLite's write-ahead log. */
export function walPath(path: string): string {
  return `${targetOf(path)}-wal`;
}

/**
 * Throws `DatabaseUnusable` if a missing or empty database has a log. SQLite would delete the log
 * and create a new database.
 */
export function requireDatabaseOfWal(path: string): void {
  const log = orphanedWal(path);
  if (log === undefined) return;
  const state = fileAt(path) === undefined ? "missing" : "empty";
  throw new DatabaseUnusable(
    `The database ${path} is ${state}, but its log ${log} is not: put the database file back, or restore a backup with nmservis restore.`,
  );
}

/**
 * Returns the path of the log or journal of a missing or empty database; undefined if there is
 * none. An empty log counts only if the database is missing: if the store was not closed, Bun has
 * checkpointed the log into the deleted file on exit.
 */
export function orphanedWal(path: string): string | undefined {
  const [log, journal] = [walPath(path), journalPath(path)];
  // Check the log first: a concurrent start writes the database before its log.
  const logFile = fileAt(log);
  const database = fileAt(path);
  if (logFile !== undefined && database === undefined) return log;
  if (database !== undefined && database.size > 0) return undefined;
  if (logFile !== undefined && logFile.size > 0) return log;
  return hasFormerPages(journal) ? journal : undefined;
}

/** Returns whether the journal's database had pages. A first start's had none. */
function hasFormerPages(journal: string): boolean {
  if (sizeOf(journal) === 0) return false;
  return readAt(journal, FORMER_PAGES_OFFSET, FORMER_PAGES_BYTES).readUInt32BE() > 0;
}

/** Follows symbolic links, even to a missing file. */
export function targetOf(path: string): string {
  const link = lstatSync(path, { throwIfNoEntry: false });
  if (!link?.isSymbolicLink() || fileAt(path) !== undefined) {
    return link === undefined ? path : realpathSync(path);
  }
  return targetOf(resolve(dirname(path), readlinkSync(path)));
}
