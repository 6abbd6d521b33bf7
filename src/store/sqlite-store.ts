import { Database, SQLiteError } from "bun:sqlite";
import { closeSync, existsSync, mkdirSync, openSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { migrate } from "drizzle-orm/bun-sqlite/migrator";
import { createGroupCommit } from "./group-commit.ts";
import { createGrouped } from "./grouped.ts";
import type { Store } from "./store.ts";

const MIGRATIONS = join(import.meta.dir, "../../drizzle");

/**
 * How long to wait where somebody else writes to the file, which nobody should: readers, such as a
 * backup, hold up no writer. Nothing else goes on meanwhile.
 */
const BUSY_TIMEOUT_MS = 500;

/** The database can't be opened; the message says why in a sentence for the owner. */
export class DatabaseRefused extends Error {
  override readonly name = "DatabaseRefused";
}

/**
 * Opens the SQLite database at `path` (`:memory:` for one that ends with the process), made or brought
 * up to date first. Throws `DatabaseRefused` when another process has it or it can't be used.
 */
export function openSqliteStore(path: string): Store {
  try {
    return path === ":memory:" ? storeOn(":memory:", () => {}) : storeInFile(path);
  } catch (error) {
    if (error instanceof DatabaseRefused) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new DatabaseRefused(`The database ${path} can't be opened: ${reason}`, { cause: error });
  }
}

function storeInFile(path: string): Store {
  mkdirSync(dirname(path), { recursive: true });
  if (existsSync(path) && statSync(path).isDirectory()) throw new Error("it is a folder");
  // The lock is found by the file's real name, which a link to nowhere has not.
  closeSync(openSync(path, "a"));
  const unlock = lock(path);
  try {
    return storeOn(path, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

/**
 * Keeps a second process off the file, from before it is migrated until this process is gone. The lock
 * is SQLite's own on an empty file beside it: the system frees it however the process ends, and the
 * database itself stays open to readers such as a backup.
 */
function lock(path: string): () => void {
  const holder = new Database(`${realpathSync(path)}.lock`, { create: true, readwrite: true });
  try {
    // Nothing is ever written to it, so it wants no journal beside it.
    holder.run("PRAGMA journal_mode = MEMORY");
    holder.run("BEGIN EXCLUSIVE");
  } catch (cause) {
    holder.close();
    if (!(cause instanceof SQLiteError) || cause.code !== "SQLITE_BUSY") throw cause;
    throw new DatabaseRefused(`The database ${path} is in use by another process.`, { cause });
  }
  return () => holder.close();
}

function storeOn(path: string, unlock: () => void): Store {
  const database = new Database(path, { create: true, readwrite: true, strict: true });
  try {
    // First, because every later line may have to wait for a reader.
    database.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = FULL");
    const tx = drizzle({ client: database, casing: "snake_case" });
    const before = schemaVersion(database);
    // With foreign keys on, a migration that rebuilds a table would delete the rows that refer to it.
    migrate(tx, { migrationsFolder: MIGRATIONS });
    // It reads every row, which only a migration is worth.
    if (schemaVersion(database) !== before) checkForeignKeys(database);
    database.run("PRAGMA foreign_keys = ON");

    const { run, close } = createGroupCommit(database, tx);
    return {
      run,
      grouped: createGrouped({ run }),
      async close() {
        await close();
        try {
          // All is in the one file then; what may stay beside it is empty.
          database.run("PRAGMA wal_checkpoint(TRUNCATE)");
        } catch {
          // A disk that is full or failing: all is in two files then, and safe there as well.
        } finally {
          database.close();
          unlock();
        }
      },
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A number that SQLite changes with every change of the schema. */
function schemaVersion(database: Database): unknown {
  return database.query("PRAGMA schema_version").values()[0]?.[0];
}

function checkForeignKeys(database: Database): void {
  const orphans = database.query("PRAGMA foreign_key_check").all();
  if (orphans.length > 0) throw new Error(`${orphans.length} rows refer to rows that are missing`);
}
