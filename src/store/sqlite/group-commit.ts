import { type Database, SQLiteError } from "bun:sqlite";
import { Unavailable } from "../../errors.ts";
import type { CommitMetrics } from "../../metrics.ts";
import type { Tx } from "../store.ts";

/** Transactions only wait for the disk: if this many are queued, the disk has hung for seconds. */
const MAX_WAITING = 100_000;

/** SQLite error codes caused by the disk or the file. Any other is a bug. */
const DISK_ERROR = /^SQLITE_(FULL|IOERR|BUSY|LOCKED|READONLY|CANTOPEN|CORRUPT|NOTADB|NOMEM)/;

/**
 * Turns of the event loop in which a batch collects transactions. In the first, the previous
 * batch's responses are sent; in the second, the clients' next requests are read; in the third,
 * those queue their transactions. A turn takes microseconds. Batches become a quarter larger (29
 * orders instead of 24 at 64 connections), which saves syncs.
 */
export const TURNS = 3;

/**
 * How long transactions that can wait do so for another one. Without this, the commit of a
 * notification would delay the next order: 1 of 3 commits at one connection.
 */
const MAX_DELAY_MS = 5;

/**
 * Attempts to begin, and the pause between them, if another process writes to the file. None
 * should.
 */
const BEGIN_ATTEMPTS = 100;
const BEGIN_PAUSE_MS = 5;

/**
 * Never read. Writing it is a transaction without effect, which reaches the disk like any other.
 */
const USER_VERSION = 0;

interface QueuedTransaction {
  readonly work: (tx: Tx) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs all transactions that arrive within a few turns of the event loop as one SQLite transaction,
 * so that they share one sync. Each settles only after the COMMIT. If one fails, the batch is
 * rolled back and each runs again alone, so a failing one does not affect the others. `checkFiles`
 * runs before each SQLite transaction, and throws if writes would be lost.
 */
export function createGroupCommit(
  database: Database,
  tx: Tx,
  checkFiles: () => void,
  metrics: CommitMetrics,
) {
  const { begin, commit, rollBack, writeNothing } = transactionsOn(database, checkFiles, metrics);

  let queue: QueuedTransaction[] = [];
  /** Transactions that join the next batch, or begin one after `MAX_DELAY_MS`. */
  let delayed: QueuedTransaction[] = [];
  /** Ends the wait of `delayed`. */
  let delay: Timer | undefined;
  let flushing: Promise<void> | undefined;
  /** Whether a batch must begin even if no other transaction comes. */
  let isDue = false;
  let closed = false;

  function run<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (closed) return reject(new Unavailable("the store is closed"));
      if (queue.length >= MAX_WAITING) {
        return reject(new Unavailable("too many queued transactions"));
      }
      // `as`: only the result of this `work` is passed to its `resolve`.
      queue.push({ work, resolve: resolve as (value: unknown) => void, reject });
      beginBatch();
    });
  }

  /** Like `run`, but joins the next batch, and begins one only after `MAX_DELAY_MS`. */
  function runLater<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (closed) return reject(new Unavailable("the store is closed"));
      // `as`: see `run`.
      delayed.push({ work, resolve: resolve as (value: unknown) => void, reject });
      delay ??= setTimeout(beginBatch, MAX_DELAY_MS);
    });
  }

  /** Begins a batch with all queued transactions, even if they can wait. */
  function beginBatch(): void {
    isDue = true;
    flushing ??= flush();
  }

  async function flush(): Promise<void> {
    while (isDue) {
      for (let turn = 0; turn < TURNS; turn++) await endOfTurn();
      const batch = queue.concat(delayed);
      isDue = false;
      queue = [];
      delayed = [];
      // Otherwise it would end the wait of later transactions too early.
      clearTimeout(delay);
      delay = undefined;
      if (batch.length === 0) continue;
      if (!(await beginFor(batch)) || (await commitTogether(batch))) continue;
      for (const [at, transaction] of batch.entries()) {
        if (!(await beginFor(batch.slice(at)))) break;
        await commitTogether([transaction]);
      }
    }
    flushing = undefined;
  }

  /**
   * Begins a transaction. On failure, rejects the batch, because retrying one by one would fail
   * too.
   */
  async function beginFor(batch: QueuedTransaction[]): Promise<boolean> {
    try {
      await begin();
      return true;
    } catch (error) {
      rejectAll(batch, error);
      return false;
    }
  }

  /**
   * Settles the batch and returns true. Returns false if one of several transactions failed; then
   * nothing was committed.
   */
  async function commitTogether(batch: QueuedTransaction[]): Promise<boolean> {
    const values: unknown[] = [];
    try {
      for (const { work } of batch) values.push(await work(tx));
      commit();
    } catch (error) {
      rollBack();
      if (batch.length > 1) return false;
      rejectAll(batch, error);
      return true;
    }
    for (const [at, { resolve }] of batch.entries()) resolve(values[at]);
    return true;
  }

  function rejectAll(batch: QueuedTransaction[], error: unknown) {
    const reason = toUnavailable(error);
    for (const { reject } of batch) reject(reason);
  }

  /** Resolves once a write without effect has reached the disk. */
  const ping = () => run(async () => writeNothing());

  /** Rejects new transactions. Resolves once the running ones have settled. */
  async function close(): Promise<void> {
    closed = true;
    await flushing;
    beginBatch();
    await flushing;
  }

  return {
    run,
    later: { run: runLater, beginBatch },
    ping,
    close,
    countQueued: () => queue.length + delayed.length,
  };
}

/** Begins and ends transactions on a connection. */
function transactionsOn(
  database: Database,
  checkFiles: () => void,
  { startCommit }: CommitMetrics,
) {
  const beginStatement = database.prepare("BEGIN IMMEDIATE");
  const commitStatement = database.prepare("COMMIT");
  const rollbackStatement = database.prepare("ROLLBACK");

  async function begin(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        checkFiles();
        beginStatement.run();
        return;
      } catch (error) {
        if (!isBusy(error) || attempt === BEGIN_ATTEMPTS) throw error;
      }
      // Not SQLite's busy timeout, which would block the event loop.
      await new Promise((resolve) => setTimeout(resolve, BEGIN_PAUSE_MS));
    }
  }

  /** If it throws, nothing was committed, and the transaction was rolled back. */
  function commit() {
    const endCommit = startCommit();
    try {
      commitStatement.run();
      endCommit();
    } catch (error) {
      rollBack();
      overwriteFailedCommit();
      throw error;
    }
  }

  /** Does nothing if no transaction is running. */
  function rollBack() {
    try {
      // SQLite may have rolled back already if the disk is full or failing.
      if (database.inTransaction) rollbackStatement.run();
    } catch {
      // The batch is rejected with the original error, which is more useful. The next BEGIN will
      // fail.
    }
  }

  /**
   * Overwrites a failed COMMIT with an empty transaction. After a failed sync, the commit may still
   * be in the log, and would be replayed after a crash.
   */
  function overwriteFailedCommit() {
    try {
      writeNothing();
    } catch {
      // If nothing can be written, the failed commit was not written either.
    }
  }

  /** Makes a write without effect. */
  function writeNothing() {
    database.run(`PRAGMA user_version = ${USER_VERSION}`);
  }

  return { begin, commit, rollBack, writeNothing };
}

/**
 * Returns `Unavailable` for an error caused by the disk or the file, otherwise the error itself.
 */
export function toUnavailable(error: unknown): unknown {
  const isDiskError = error instanceof SQLiteError && DISK_ERROR.test(error.code ?? "");
  return isDiskError ? new Unavailable("the database is unavailable", { cause: error }) : error;
}

function isBusy(error: unknown): boolean {
  return error instanceof SQLiteError && error.code === "SQLITE_BUSY";
}

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
