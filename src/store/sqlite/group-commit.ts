import { type Database, SQLiteError } from "bun:sqlite";
import { Unavailable } from "../../errors.ts";
import type { CommitMetrics } from "../../metrics.ts";
import type { Tx } from "../store.ts";

/** A step waits for the disk only; with this many waiting, the disk has hung for seconds. */
const MAX_WAITING = 100_000;

/** What SQLite says of the disk and the file; all else it says is a mistake of ours. */
const DISK_FAULT = /^SQLITE_(FULL|IOERR|BUSY|LOCKED|READONLY|CANTOPEN|CORRUPT|NOTADB|NOMEM)/;

/**
 * How many turns of the event loop a step waits for others. In one the answers to the batch before go out,
 * in the next the requests that follow on them are read, in a third they ask for their steps. Each takes
 * microseconds, and a batch that is a quarter larger (29 orders, not 24, at 64 connections) saves waits.
 */
export const TURNS = 3;

/** Another process may write to the file, though none should: this often, and this far apart, a batch tries. */
const BEGIN_ATTEMPTS = 100;
const BEGIN_PAUSE_MS = 5;

/** Never read; writing it is a transaction that changes nothing, and reaches the disk like any other. */
const USER_VERSION = 0;

interface Step {
  readonly work: (tx: Tx) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs all steps that arrive in a few turns of the event loop in one transaction, so that many share one
 * wait for the disk. A step settles only after the COMMIT. Where anything fails, the batch is rolled back
 * and each of its steps runs again in a transaction of its own: one that fails takes no other with it.
 * Before each transaction `checkFiles` throws if what is written would be lost.
 */
export function createGroupCommit(
  database: Database,
  tx: Tx,
  checkFiles: () => void,
  { startCommit }: CommitMetrics,
) {
  const begin = database.prepare("BEGIN IMMEDIATE");
  const commit = database.prepare("COMMIT");
  const rollback = database.prepare("ROLLBACK");

  let waiting: Step[] = [];
  let flushing: Promise<void> | undefined;
  let closed = false;

  function run<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (closed) return reject(new Unavailable("the store is closed"));
      if (waiting.length >= MAX_WAITING) return reject(new Unavailable("too many steps wait"));
      // `as`: only what this step's own work returns is ever handed to its resolve.
      waiting.push({ work, resolve: resolve as (value: unknown) => void, reject });
      flushing ??= flush();
    });
  }

  async function flush(): Promise<void> {
    while (waiting.length > 0) {
      for (let turn = 0; turn < TURNS; turn++) await endOfTurn();
      const batch = waiting;
      waiting = [];
      if (!(await beginFor(batch)) || (await commitTogether(batch))) continue;
      for (const [at, step] of batch.entries()) {
        if (!(await beginFor(batch.slice(at)))) break;
        await commitTogether([step]);
      }
    }
    flushing = undefined;
  }

  /** Begins a transaction. Where none can begin, rejects all steps: none could begin for one alone. */
  async function beginFor(steps: Step[]): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      try {
        checkFiles();
        begin.run();
        return true;
      } catch (error) {
        if (!isBusy(error) || attempt === BEGIN_ATTEMPTS) {
          rejectAll(steps, error);
          return false;
        }
      }
      // Not SQLite's own time-out, which would hold up the event loop.
      await new Promise((resolve) => setTimeout(resolve, BEGIN_PAUSE_MS));
    }
  }

  /** Settles all steps of the batch, or none where one of several has failed: then nothing was kept. */
  async function commitTogether(batch: Step[]): Promise<boolean> {
    const values: unknown[] = [];
    try {
      for (const { work } of batch) values.push(await work(tx));
    } catch (error) {
      undo();
      if (batch.length > 1) return false;
      rejectAll(batch, error);
      return true;
    }
    const endCommit = startCommit();
    try {
      commit.run();
      endCommit();
    } catch (error) {
      undo();
      overwrite();
      if (batch.length > 1) return false;
      rejectAll(batch, error);
      return true;
    }
    for (const [at, step] of batch.entries()) step.resolve(values[at]);
    return true;
  }

  function rejectAll(steps: Step[], error: unknown) {
    const reason = toUnavailable(error);
    for (const step of steps) step.reject(reason);
  }

  function undo() {
    try {
      // A full or failing disk makes SQLite give up the transaction by itself.
      if (database.inTransaction) rollback.run();
    } catch {
      // The error that led here says more, and is what the steps are rejected with; the next BEGIN will fail.
    }
  }

  /**
   * A COMMIT whose sync has failed may stand in the log all the same, and would come back after a crash.
   * The next transaction takes its place there: this one.
   */
  function overwrite() {
    try {
      touch();
    } catch {
      // Where nothing can be written, what is void could not be written either.
    }
  }

  function touch() {
    database.run(`PRAGMA user_version = ${USER_VERSION}`);
  }

  /** Resolves when a write that changes nothing has reached the disk. */
  const ping = () => run(async () => touch());

  /** Rejects new steps; resolves when those in progress have settled. */
  async function close(): Promise<void> {
    closed = true;
    await flushing;
  }

  return { run, ping, close, countWaiting: () => waiting.length };
}

/** `Unavailable` where the disk or the file is to blame, else the error itself. */
export function toUnavailable(error: unknown): unknown {
  const isDiskFault = error instanceof SQLiteError && DISK_FAULT.test(error.code ?? "");
  return isDiskFault ? new Unavailable("the data can't be reached", { cause: error }) : error;
}

function isBusy(error: unknown): boolean {
  return error instanceof SQLiteError && error.code === "SQLITE_BUSY";
}

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
