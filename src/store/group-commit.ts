import type { Database } from "bun:sqlite";
import { Unavailable } from "../refusals.ts";
import type { Tx } from "./store.ts";

/** A step waits for the disk only; with this many waiting, the disk has hung for seconds. */
const MAX_WAITING = 100_000;

/** Never read; writing it is a transaction that changes nothing. */
const USER_VERSION = 0;

interface Step {
  readonly work: (tx: Tx) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  settle(): void;
}

/**
 * Runs all steps that arrive in one turn of the event loop in one transaction, each in a savepoint of
 * its own, so that many share one wait for the disk. A step settles only after the COMMIT; one that
 * fails takes no other with it; if the COMMIT fails, all of them are refused with `Unavailable`.
 */
export function createGroupCommit(database: Database, tx: Tx) {
  const begin = database.prepare("BEGIN IMMEDIATE");
  const commit = database.prepare("COMMIT");
  const rollback = database.prepare("ROLLBACK");
  const savepoint = database.prepare("SAVEPOINT step");
  const release = database.prepare("RELEASE step");
  const rollbackToSavepoint = database.prepare("ROLLBACK TO step");

  let waiting: Step[] = [];
  let flushing: Promise<void> | undefined;
  let closed = false;

  function run<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (closed) return reject(new Unavailable("the store is closed"));
      if (waiting.length >= MAX_WAITING) return reject(new Unavailable("too many steps wait"));
      // `as`: only what this step's own work returns is ever handed to its resolve.
      waiting.push({ work, resolve: resolve as (value: unknown) => void, reject, settle() {} });
      flushing ??= flush();
    });
  }

  async function flush(): Promise<void> {
    while (waiting.length > 0) {
      await endOfTurn();
      const batch = waiting;
      waiting = [];
      try {
        await commitTogether(batch);
      } catch (cause) {
        abandon();
        overwrite();
        const refusal = new Unavailable("the data could not be written", { cause });
        for (const step of batch) step.settle = () => step.reject(refusal);
      }
      for (const step of batch) step.settle();
    }
    flushing = undefined;
  }

  /** Ends the transaction, if the engine has not done so; should it fail, the next BEGIN fails as well. */
  function abandon() {
    try {
      if (database.inTransaction) rollback.run();
    } catch {
      // The fault that has led here says more, and is what the steps are refused with.
    }
  }

  /**
   * A COMMIT whose sync has failed may stand in the log all the same, and come back after a crash when
   * everybody has been told that it is void. The next transaction takes its place there: this one.
   */
  function overwrite() {
    try {
      database.run(`PRAGMA user_version = ${USER_VERSION}`);
    } catch {
      // Where nothing can be written, what is void could not be written either.
    }
  }

  async function commitTogether(batch: Step[]): Promise<void> {
    begin.run();
    for (const step of batch) {
      savepoint.run();
      try {
        const value = await step.work(tx);
        release.run();
        step.settle = () => step.resolve(value);
      } catch (error) {
        // A full or failing disk makes SQLite give up the whole transaction, the others' work too.
        if (!database.inTransaction) throw error;
        rollbackToSavepoint.run();
        release.run();
        step.settle = () => step.reject(error);
      }
    }
    commit.run();
  }

  /** Refuses new steps; resolves when those under way have settled. */
  async function close(): Promise<void> {
    closed = true;
    await flushing;
  }

  return { run, close };
}

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
