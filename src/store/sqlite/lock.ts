import { DatabaseUnusable } from "../errors.ts";
import { Database, SQLiteError } from "bun:sqlite";
import { realpathSync } from "node:fs";

/** Returns the path of the lock file. The database must exist. */
export function lockPath(databasePath: string): string {
  return `${realpathSync(databasePath)}.lock`;
}

/**
 * Locks the database against other processes, and returns a function that unlocks it. The lock is
 * SQLite's lock on an empty file next to the database. The system releases it however the process
 * ends, and readers such as a backup can still open the database. Exactly one of several
 * simultaneous callers gets it. Throws `DatabaseUnusable` if another process has it.
 */
export function lockDatabase(databasePath: string): () => void {
  let holder: Database | undefined;
  try {
    holder = new Database(lockPath(databasePath), { create: true, readwrite: true });
    // Nothing is ever written, so no journal file is needed.
    holder.run("PRAGMA journal_mode = MEMORY");
    // Takes one system call. An EXCLUSIVE lock takes several, so two processes could block each
    // other.
    holder.run("BEGIN IMMEDIATE");
    // Fails if the file is read-only: SQLite then opens it for reading, and locks do not exclude
    // others.
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
        `The lock file ${lockPath(databasePath)} can't be written: check its permissions.`,
        { cause },
      );
    default:
      return cause;
  }
}
