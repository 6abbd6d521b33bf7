import { Database, SQLiteError } from "bun:sqlite";
import { realpathSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { drizzle } from "drizzle-orm/bun-sqlite";
import type { Log } from "../../log.ts";
import { type CommitMetrics, NO_COMMIT_METRICS } from "../../metrics.ts";
import { backupDatabase } from "./backup.ts";
import {
  keepPrivate,
  createDatabaseFile,
  requireDatabase,
  watchDatabaseFiles,
} from "./database-files.ts";
import { describeFileError, DatabaseUnusable } from "../errors.ts";
import { watchHeaders } from "./file-headers.ts";
import { sizeOf, sync } from "./file-system.ts";
import { lockDatabase, lockPath } from "./lock.ts";
import { walPath, requireDatabaseOfWal } from "./orphaned-wal.ts";
import { sqliteDialect, tables } from "./schema.ts";
import { createGroupCommit, toUnavailable } from "./group-commit.ts";
import { createBatch } from "../batch.ts";
import { checkOnOpen, rollBackJournal } from "./integrity.ts";
import {
  appliedMigrations,
  assertUpToDate,
  isNew,
  migrate,
  missingMigrations,
} from "./migrations.ts";
import type { Reader, Store, Tx } from "../store.ts";
import type { Clock } from "../../ports.ts";

/** How long opening waits for a reader; 0 after opening, because waiting blocks the event loop. */
const OPENING_TIMEOUT_MS = 500;

/**
 * Pages in the write-ahead log before a checkpoint: 8 MiB. Most orders change a random page of the
 * index by user, and a checkpoint writes each page once, however many orders have changed it. With
 * SQLite's default of 1,000 pages an order takes 5 % more CPU time; with 4,000 the p99 doubles with
 * a million orders, because commits wait for the checkpoint.
 */
const CHECKPOINT_PAGES = 2000;

/**
 * SQLite truncates the write-ahead log to this size after it grew during a long read, such as a
 * backup. Twice the usual size.
 */
const LOG_SIZE_LIMIT_BYTES = 16 * 1024 * 1024;

/**
 * Opens the SQLite database at `path`. Creates or migrates it first. Throws `DatabaseUnusable`, and
 * leaves the database unchanged, if another process is using it or it can't be used. `elapsed` is a
 * monotonic clock in ms.
 */
export function openSqliteStore(
  path: string,
  log: Log,
  elapsed: Clock,
  metrics = NO_COMMIT_METRICS,
): Store {
  try {
    requireDatabaseOfWal(path);
    // The lock is named after the file's real path, which a dangling link does not have.
    createDatabaseFile(path);
    const unlock = lockDatabase(path);
    try {
      checkOnOpen(path, log);
      keepOldVersion(path, log);
      return openLocked(path, log, elapsed, metrics, unlock);
    } catch (error) {
      unlock();
      throw error;
    }
  } catch (error) {
    throw unusable(path, error);
  }
}

function unusable(path: string, cause: unknown): DatabaseUnusable {
  if (cause instanceof DatabaseUnusable) return cause;
  return new DatabaseUnusable(
    `The database ${path} can't be opened: ${describeFileError(cause)}.`,
    { cause },
  );
}

/**
 * Opens the SQLite database at `path` read-only, even while a service is using it. Throws
 * `DatabaseUnusable`.
 */
export function openSqliteReader(path: string): Reader {
  requireDatabase(path);
  try {
    rollBackJournal(path);
    const database = new Database(path, { readonly: true, strict: true });
    try {
      assertUpToDate(database);
    } catch (error) {
      database.close();
      throw error;
    }
    const tx = drizzleOn(database);
    return {
      async read(query) {
        try {
          return await query(tx);
        } catch (error) {
          throw error instanceof SQLiteError ? unusable(path, error) : error;
        }
      },
      close: async () => database.close(),
    };
  } catch (error) {
    throw unusable(path, error);
  }
}

/** Keeps a copy of an older version's database before it is migrated. */
function keepOldVersion(path: string, log: Log): void {
  const migrations = sizeOf(path) === 0 ? undefined : appliedIfOld(path);
  if (migrations === undefined) return;
  const kept = `${realpathSync(path)}.before-schema-${migrations + 1}`;
  const next = `${kept}.new`;
  // Left by an interrupted start.
  rmSync(next, { force: true });
  backupDatabase(path, next);
  // Replaces the copy of an upgrade that was undone: later orders are missing from it.
  renameSync(next, kept);
  sync(dirname(kept));
  log.info(`Migrating the database ${path}; the old version is kept in ${kept}.`);
}

/** Returns the number of applied migrations; undefined if the database is new or up to date. */
function appliedIfOld(path: string): number | undefined {
  using database = new Database(path, { readonly: true, strict: true });
  if (isNew(database)) return undefined;
  return missingMigrations(database).length > 0 ? appliedMigrations(database).length : undefined;
}

function openLocked(
  path: string,
  log: Log,
  elapsed: Clock,
  metrics: CommitMetrics,
  unlock: () => void,
): Store {
  const database = openConnection(path);
  try {
    const paths = {
      database: path,
      wal: walPath(path),
      sharedMemory: `${realpathSync(path)}-shm`,
      lock: lockPath(path),
    };
    keepPrivate(Object.values(paths));
    const headers = watchHeaders(paths);
    const checkFiles = watchDatabaseFiles(paths, elapsed, headers.check, (bytes) => {
      const mebibytes = Math.round(bytes / 1024 ** 2);
      log.warn(
        `${paths.wal} has grown to ${mebibytes} MiB: a reader has kept ${path} open for too long.`,
      );
    });
    const commits = createGroupCommit(database, drizzleOn(database), checkFiles, metrics);
    const { run, later, ping, close, countQueued } = commits;
    const reader = new Database(path, { readonly: true, strict: true });
    // From its first read on, it holds a lock, which `close` needs.
    reader.run("PRAGMA schema_version");
    const readerTx = drizzleOn(reader);
    return {
      isShared: sqliteDialect.isShared,
      run,
      async read(query) {
        checkFiles();
        try {
          return await query(readerTx);
        } catch (error) {
          throw toUnavailable(error);
        }
      },
      batch: createBatch({ run, later, metrics }),
      measure: async () => ({
        queuedTransactions: countQueued(),
        databaseBytes: sizeOf(paths.database),
        walBytes: sizeOf(paths.wal),
      }),
      ping,
      async close() {
        await close();
        try {
          headers.check();
          // SQLite checkpoints when the last connection closes, unless the database was moved. That
          // even saves the content of a deleted log.
          reader.close(true);
          // This checkpoint would truncate a log that others need: copies of a replaced database, or
          // readers with a different -shm, which it does not see.
          checkFiles(true);
          // Moves all data into the database file; a remaining log is empty.
          database.run("PRAGMA wal_checkpoint(TRUNCATE)");
        } catch {
          // The data then stays in two files, which is just as safe.
        } finally {
          // `true`: otherwise a statement keeps the connection open, and Bun checkpoints on exit.
          database.close(true);
          // Last, if a file was overwritten: because of this connection's lock on the database,
          // SQLite did not checkpoint, and a read-only connection can't.
          reader.close(true);
          headers.close();
          unlock();
        }
      },
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Opens a connection for writing, in WAL mode, and migrates the database. */
export function openConnection(path: string): Database {
  const database = new Database(path, { create: true, readwrite: true, strict: true });
  try {
    // First, because every later line may have to wait for a reader.
    database.run(`PRAGMA busy_timeout = ${OPENING_TIMEOUT_MS}`);
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = FULL");
    database.run(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    database.run(`PRAGMA journal_size_limit = ${LOG_SIZE_LIMIT_BYTES}`);
    // With foreign keys on, a migration that rebuilds a table would delete the rows that refer to
    // it.
    const isChanged = migrate(database);
    // Only after a migration, because it reads every row.
    if (isChanged) checkForeignKeys(database);
    database.run("PRAGMA foreign_keys = ON");
    // An insert of many rows keeps the former content of each changed page until it ends, by
    // default in a temporary file: 5 KB and 4 to 8 µs per order. Only after a migration, which
    // would sort whole tables in memory.
    database.run("PRAGMA temp_store = MEMORY");
    // The first write creates the write-ahead log.
    database.run("PRAGMA user_version = 0");
    database.run("PRAGMA busy_timeout = 0");
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Returns the query builders on a connection. */
export function drizzleOn(database: Database): Tx {
  const builders = drizzle({ client: database, casing: "snake_case" });
  // `as`: SQLite's builders are compatible as far as the queries use them.
  return Object.assign(builders, { tables, sqlDialect: sqliteDialect }) as unknown as Tx;
}

function checkForeignKeys(database: Database): void {
  const orphans = database.query("PRAGMA foreign_key_check").all();
  if (orphans.length > 0) throw new Error(`${orphans.length} rows refer to missing rows`);
}
