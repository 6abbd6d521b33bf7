import { Unavailable } from "../../errors.ts";
import type { CommitMetrics } from "../../metrics.ts";
import type { Clock } from "../../ports.ts";
import { withTimeout } from "../../lib/with-timeout.ts";
import {
  classifyError,
  type Connection,
  openConnection,
  OutcomeUnknown,
  Unreachable,
} from "./connection.ts";

/**
 * Number of connections. While they are busy, calls collect in batches, and the disk writes one
 * commit at a time. With four connections: 10 % fewer orders/s on a local disk, and no gain with
 * 1 ms of network latency each way.
 */
const CONNECTIONS = 2;

/**
 * Shares of the timeout. The server cancels a statement after `STATEMENT_SHARE`, and no attempt
 * begins with less than `ATTEMPT_SHARE` left. So the server's answer nearly always arrives in time,
 * and the outcome is known.
 */
const STATEMENT_SHARE = 0.4;
const ATTEMPT_SHARE = 0.5;

/** Backoff before a retry on a new connection; doubles each time. */
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 500;

/** Maximum attempts at a transaction that conflicts with others. */
const MAX_CONFLICTS = 5;

const MAX_WAITING = 100_000;

/** A queued transaction or query. */
interface Operation {
  /** In ms, on the `elapsed` clock. */
  readonly deadline: number;
  /** Whether the operation may change data. */
  readonly writes: boolean;
  /**
   * Calls `beforeCommit` before it sends anything that may commit; sends nothing if that throws.
   */
  readonly work: (connection: Connection, beforeCommit: () => void) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Holds a connection, which is opened on the first operation and reopened if it is lost. */
interface Slot {
  connection: Connection | undefined;
}

/**
 * Creates the queue of transactions and queries. Each settles within `timeoutMs`, including its
 * time in the queue; it rejects with `Unavailable`, or with `OutcomeUnknown` if it may have
 * committed. `elapsed` is a monotonic clock in ms.
 */
export function createOperationQueue(
  url: string,
  elapsed: Clock,
  metrics: CommitMetrics,
  timeoutMs: number,
) {
  const queue: Operation[] = [];
  const idle: Slot[] = Array.from({ length: CONNECTIONS }, () => ({ connection: undefined }));
  let closed = false;
  let allIdle = Promise.withResolvers<void>();

  function enqueue<T>(
    writes: boolean,
    work: (connection: Connection, beforeCommit: () => void) => Promise<T>,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (closed) return reject(new Unavailable("the store is closed"));
      if (queue.length >= MAX_WAITING) {
        return reject(new Unavailable("too many queued transactions"));
      }
      const deadline = elapsed() + timeoutMs;
      // `as`: only the result of this `work` is passed to its `resolve`.
      const settle = resolve as (value: unknown) => void;
      queue.push({ deadline, writes, work, resolve: settle, reject });
      const slot = idle.pop();
      // One turn later, so that calls in this turn join the same batch.
      if (slot !== undefined) setImmediate(() => void runQueue(slot));
    });
  }

  /** Runs queued operations one by one until the queue is empty. */
  async function runQueue(slot: Slot): Promise<void> {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      await perform(slot, next);
    }
    idle.push(slot);
    if (idle.length === CONNECTIONS) {
      allIdle.resolve();
      allIdle = Promise.withResolvers();
    }
  }

  /** Runs and settles the operation. Replaces the slot's connection if it is lost. */
  async function perform(slot: Slot, operation: Operation): Promise<void> {
    const leftMs = () => operation.deadline - elapsed();
    /** Time in which another attempt may begin. */
    const spareMs = () => leftMs() - timeoutMs * ATTEMPT_SHARE;
    let mayHaveCommitted = false;
    let error: Error = new Unavailable("timed out in the queue");
    let conflicts = 0;
    let pauseMs = FIRST_PAUSE_MS;
    while (spareMs() > 0) {
      let isCommitting = false;
      try {
        const { connection } = slot;
        if (connection === undefined || !connection.isOpen()) {
          slot.connection = await openConnection(url, timeoutMs * STATEMENT_SHARE, spareMs());
          continue;
        }
        if (operation.writes && connection.isReadOnly) {
          throw new Unreachable(new Error("the server is read-only"));
        }
        const endCommit = metrics.startCommit();
        const value = await withTimeout(leftMs(), () =>
          operation.work(connection, () => {
            // An abandoned attempt may also get here, later.
            if (!connection.isOpen()) {
              throw new Unreachable(new Error("the connection was lost before COMMIT"));
            }
            isCommitting = true;
          }),
        );
        if (operation.writes) endCommit();
        return operation.resolve(value);
      } catch (thrown) {
        const classified = classifyError(thrown);
        error = classified.error;
        if (classified.kind === "refused") break;
        if (classified.kind === "conflict") {
          conflicts += 1;
          if (conflicts === MAX_CONFLICTS) break;
          continue;
        }
        mayHaveCommitted ||= classified.kind === "lost" && isCommitting;
        // An abandoned attempt must not continue on the next connection.
        slot.connection?.end();
        slot.connection = undefined;
        await Bun.sleep(Math.min(pauseMs, Math.max(spareMs(), 0)));
        pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
      }
    }
    operation.reject(
      mayHaveCommitted
        ? new OutcomeUnknown("the transaction may or may not have committed", { cause: error })
        : error,
    );
  }

  return {
    enqueue,
    countQueued: () => queue.length,
    /** Rejects new operations. Resolves once the queued ones have settled. */
    async close() {
      closed = true;
      if (idle.length < CONNECTIONS) await allIdle.promise;
      for (const { connection } of idle) connection?.end();
    },
  };
}
