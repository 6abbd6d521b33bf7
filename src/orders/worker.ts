import { createOutageLog, type Log } from "../log.ts";
import { pause } from "../lib/pause.ts";
import { type Clock, Postponed } from "../ports.ts";
import type { Store, Tx } from "../store/store.ts";
import { createTaskQueue } from "../lib/task-queue.ts";
import { leaseEndsAt, nextAttemptAt, createWaker } from "./retry-schedule.ts";

/** Poll interval for due jobs. Most jobs are done before polling could find them. */
export const POLL_MS = 1000;

/** Poll interval while more jobs may be due. */
const BUSY_POLL_MS = 50;

/** One attempt at a job, leased to this process until `dueAt`, in ms. */
export interface Leased {
  /** Attempt number, starting at 1. */
  readonly attempt: number;
  readonly dueAt: number;
}

/** The attempt failed or was postponed; the next one is due at `dueAt`, in ms. */
export interface Rescheduled {
  readonly status: "pending";
  readonly dueAt: number;
  /** Present if this could not be written to the store: the job is due when its lease ends. */
  readonly storeFailed?: true;
}

/** The end of a lease: the job's next due time and its attempt count. */
interface Reschedule<Job> {
  readonly job: Job;
  readonly dueAt: number;
  readonly attempts: number;
}

/** A worker's access to its jobs: rows of one kind in the database. */
export interface Jobs<Job> {
  /** The name for log lines, such as "charge of order". */
  readonly name: string;
  /** Returns the id of a job's row. */
  readonly idOf: (job: Job) => number;
  /**
   * Claims up to `limit` jobs that are due by `now`: counts the attempt and leases them until
   * `dueAt`.
   */
  claim(
    tx: Tx,
    values: { readonly now: number; readonly dueAt: number; readonly limit: number },
  ): Promise<readonly Job[]>;
  /**
   * Sets the due time of jobs that are due later than `after` to `now`, at most `MAX_WOKEN` of them,
   * the earliest first. Returns one item per job.
   */
  makeDue(
    tx: Tx,
    values: { readonly now: number; readonly after: number },
  ): Promise<readonly unknown[]>;
  /** Ends leases. Skips jobs that another attempt has claimed or finished since. */
  reschedule(tx: Tx, reschedules: readonly Reschedule<Job>[]): Promise<unknown>;
}

interface WorkerOptions<Job, Result> {
  readonly store: Store;
  readonly log: Log;
  readonly now: Clock;
  readonly jobs: Jobs<Job>;
  /** Maximum duration of an attempt, in ms. */
  readonly timeoutMs: number;
  /** Maximum number of queued jobs that run concurrently. */
  readonly concurrency: number;
  /** Makes one attempt. A rejection counts as a failed attempt unless it is `Postponed`. */
  readonly run: (job: Job) => Promise<Result>;
  /** Logs a failed attempt. */
  readonly onFailure: (job: Job, error: unknown) => void;
}

/** Makes attempts at jobs until each is done: claim, run, reschedule. */
export interface Worker<Job, Result> {
  /**
   * Makes one attempt at a leased job now. If it fails, the job is due again after a pause, or when
   * its lease ends if the store can't be written. Never rejects.
   */
  attempt(job: Job): Promise<Result | Rescheduled>;
  /**
   * Queues an attempt at a leased job. If the queue is full, the job is due when its lease ends.
   */
  start(job: Job): void;
  /** Claims due jobs and queues their attempts. Resolves to the number of claimed jobs. */
  runOnce(): Promise<number>;
  /**
   * Polls until the signal aborts. If the store is not shared, the first poll makes even leased jobs
   * due.
   */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when the queue is empty and no queued attempt is running. */
  idle(): Promise<void>;
}

export function createWorker<Job extends Leased, Result>(
  options: WorkerOptions<Job, Result>,
): Worker<Job, Result> {
  const { store, log, now, jobs, timeoutMs, concurrency, run, onFailure } = options;
  const waker = createWaker(timeoutMs, store.isShared);
  const queue = createTaskQueue<Job>({
    concurrency,
    keyOf: jobs.idOf,
    run: attempt,
    onError: (error) => log.error(`A job failed unexpectedly (${jobs.name}).`, error),
  });

  const reschedule = store.batch(async (tx, reschedules: readonly Reschedule<Job>[]) => {
    await jobs.reschedule(tx, reschedules);
    return reschedules.map(({ dueAt }) => dueAt);
  });

  // Hot path: `async` here costs about 10 % per order (bench: stages).
  function attempt(job: Job): Promise<Result | Rescheduled> {
    return run(job).then(succeed, (error: unknown) => endLease(job, error));
  }

  function succeed(result: Result): Result {
    waker.succeeded();
    return result;
  }

  async function endLease(job: Job, error: unknown): Promise<Rescheduled> {
    const pauseMs = error instanceof Postponed ? error.pauseMs : undefined;
    if (pauseMs === undefined) onFailure(job, error);
    else if (pauseMs > 0) waker.postponed();
    const dueAt = pauseMs === undefined ? nextAttemptAt(now(), job.attempt) : now() + pauseMs;
    const attempts = pauseMs === undefined ? job.attempt : job.attempt - 1;
    try {
      return { status: "pending", dueAt: await reschedule({ job, dueAt, attempts }) };
    } catch (fault) {
      const jobName = `${jobs.name} ${jobs.idOf(job)}`;
      log.error(
        `Could not reschedule ${jobName}; it will be retried when its lease expires.`,
        fault,
      );
      return { status: "pending", dueAt: job.dueAt, storeFailed: true };
    }
  }

  async function runOnce(): Promise<number> {
    const limit = concurrency - queue.size();
    if (limit <= 0) return 0;
    const at = now();
    const dueAt = leaseEndsAt(at, timeoutMs);
    const after = waker.dueBeyond(at);
    const { woken, claimed } = await store.run(async (tx) => ({
      woken: await jobs.makeDue(tx, { now: at, after }),
      claimed: await jobs.claim(tx, { now: at, dueAt, limit }),
    }));
    waker.woke(woken.length);
    for (const job of claimed) {
      log.debug(`The ${jobs.name} ${jobs.idOf(job)} is due.`);
      queue.add(job);
    }
    return claimed.length;
  }

  return {
    attempt,
    start: (job) => void queue.add(job),
    runOnce,
    async run(signal) {
      waker.start();
      const outages = createOutageLog(log, `Polling for due jobs (${jobs.name})`);
      while (!signal.aborted) {
        let claimed = 0;
        try {
          claimed = await runOnce();
          outages.succeeded();
        } catch (error) {
          outages.failed(error);
        }
        const isBusy = claimed > 0 || queue.size() >= concurrency;
        await pause(isBusy ? BUSY_POLL_MS : POLL_MS, signal);
      }
    },
    idle: queue.idle,
  };
}
