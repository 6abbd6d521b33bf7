import { DatabaseUnusable } from "../errors.ts";
import { Database, SQLiteError } from "bun:sqlite";
import { realpathSync } from "node:fs";

/** Where the lock on the database at this path, which must exist, has its file. */
export function lockPath(databasePath: string): string {
  return `${realpathSync(databasePath)}.lock`;
}

/**
 * Keeps a second process off the database, from before it is migrated until this process is gone. The
 * lock is SQLite's own on an empty file beside it: the system frees it however the process ends, and the
 * database itself stays open to readers such as a backup. Of several that ask at once one gets it.
 * Throws `DatabaseUnusable` where another process has it.
 */
export function lockDatabase(databasePath: string): () => void {
  let holder: Database | undefined;
  try {
    holder = new Database(lockPath(databasePath), { create: true, readwrite: true });
    // Nothing is ever written to it, so it wants no journal beside it.
    holder.run("PRAGMA journal_mode = MEMORY");
    // Taken by one system call. An EXCLUSIVE lock takes several: two processes can stop each other.
    holder.run("BEGIN IMMEDIATE");
    // A file that can't be written SQLite opens for reading, and many may have that lock.
    holder.run("PRAGMA user_version = 1");
  } catch (cause) {
    holder?.close();
    throw explain(databasePath, cause);
  }
  return () => holder.close();
}

function explain(databasePath: string, cause: unknown): unknown {
  const code = cause instanceof SQLiteError ? cause.code : undefined;
  switch (code) {
    case "SQLITE_BUSY":
      return new DatabaseUnusable(`The database ${databasePath} is in use by another process.`, {
        cause,
      });
    case "SQLITE_CANTOPEN":
    case "SQLITE_READONLY":
      return new DatabaseUnusable(
        `The file ${lockPath(databasePath)}, which keeps a second process off, can't be written.`,
        { cause },
      );
    default:
      return cause;
  }
}
