import {
  closeSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  statSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseUnusable } from "../errors.ts";

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
  const state = sizeOf(path) === undefined ? "missing" : "empty";
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
  const logBytes = sizeOf(log);
  const databaseBytes = sizeOf(path);
  if (logBytes !== undefined && databaseBytes === undefined) return log;
  if ((databaseBytes ?? 0) > 0) return undefined;
  if ((logBytes ?? 0) > 0) return log;
  return hasFormerPages(journal) ? journal : undefined;
}

/** Returns whether the journal's database had pages. A first start's had none. */
function hasFormerPages(journal: string): boolean {
  if ((sizeOf(journal) ?? 0) === 0) return false;
  const pages = Buffer.alloc(FORMER_PAGES_BYTES);
  const descriptor = openSync(journal, "r");
  try {
    readSync(descriptor, pages, 0, FORMER_PAGES_BYTES, FORMER_PAGES_OFFSET);
  } finally {
    closeSync(descriptor);
  }
  return pages.readUInt32BE() > 0;
}

/** Follows symbolic links, even to a missing file. */
export function targetOf(path: string): string {
  const link = lstatSync(path, { throwIfNoEntry: false });
  if (!link?.isSymbolicLink() || statSync(path, { throwIfNoEntry: false }) !== undefined) {
    return link === undefined ? path : realpathSync(path);
  }
  return targetOf(resolve(dirname(path), readlinkSync(path)));
}

/** Returns the file's size; undefined if there is no file. */
function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}
