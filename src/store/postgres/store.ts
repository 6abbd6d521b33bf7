import { postgresDialect } from "./schema.ts";
import type { SQL } from "bun";
import { Unavailable } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { type CommitMetrics, NO_COMMIT_METRICS } from "../../metrics.ts";
import type { Clock } from "../../ports.ts";
import { withTimeout } from "../../lib/with-timeout.ts";
import { createBatch } from "../batch.ts";
import { DatabaseUnusable } from "../errors.ts";
import {
  OutcomeUnknown,
  reasonFor,
  classifyError,
  Unreachable,
  connect,
  type Connection,
  openConnection,
} from "./connection.ts";
import { assertUpToDate, checkServer, checkSessions, migrate } from "./migrations.ts";
import type { Reader, Store, Tx } from "../store.ts";

/**
 * Number of connections. While they are busy, calls collect in batches, and the disk writes one
 * commit at a time. With four connections: 10 % fewer orders/s on a local disk, and no gain with
 * 1 ms of network latency each way.
 */
const CONNECTIONS = 2;

/** Timeout of a transaction or query, including the time in the queue. Most take milliseconds. */
const OPERATION_TIMEOUT_MS = 5000;

/** Timeout of each connection attempt at the start, and of the server checks. */
const OPENING_TIMEOUT_MS = 5000;

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

/** Interval between readings of the server's clock. Ours may drift. */
const CLOCK_EVERY_MS = 5000;

export interface PostgresStore extends Store {
  /** The server's clock, which all instances share. */
  readonly now: Clock;
}

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
 * Opens and migrates the PostgreSQL database at `url`, which other processes may use too. `elapsed`
 * is a monotonic clock in ms. Rejects with `DatabaseUnusable` if the database can't be used; the
 * message contains no password.
 */
export async function openPostgresStore(
  url: string,
  log: Log,
  elapsed: Clock,
  metrics = NO_COMMIT_METRICS,
  timeoutMs = OPERATION_TIMEOUT_MS,
): Promise<PostgresStore> {
  const name = nameOf(url);
  try {
    return await open(url, log, elapsed, metrics, timeoutMs);
  } catch (error) {
    const reason = reasonFor(error);
    throw new DatabaseUnusable(`The database ${name} can't be opened: ${reason}.`);
  }
}

/**
 * Opens the PostgreSQL database at `url` for reading. Rejects with `DatabaseUnusable`; the message
 * contains no password.
 */
export async function openPostgresReader(url: string): Promise<Reader> {
  try {
    await withCheckedConnection(url, assertUpToDate);
    const { tx, end } = await openConnection(url, OPENING_TIMEOUT_MS, OPENING_TIMEOUT_MS);
    return { read: (query) => query(tx), close: async () => end() };
  } catch (error) {
    throw new DatabaseUnusable(`The database ${nameOf(url)} can't be opened: ${reasonFor(error)}.`);
  }
}

/** Checks that the service can use the server, then runs `work` on a connection to it. */
async function withCheckedConnection<T>(url: string, work: (sql: SQL) => Promise<T>): Promise<T> {
  using first = await connect(url, OPENING_TIMEOUT_MS);
  using second = await connect(url, OPENING_TIMEOUT_MS);
  await withTimeout(OPENING_TIMEOUT_MS, async () => {
    await checkSessions(first.sql, second.sql);
    await checkServer(first.sql);
  });
  return await work(first.sql);
}

async function open(
  url: string,
  log: Log,
  elapsed: Clock,
  metrics: CommitMetrics,
  timeoutMs: number,
): Promise<PostgresStore> {
  let offsetMs = await withCheckedConnection(url, async (sql) => {
    await migrate(sql);
    return await readOffset(sql, elapsed);
  });

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

  const run = <T>(work: (tx: Tx) => Promise<T>) =>
    enqueue(true, ({ transact }, beforeCommit) => transact(work, beforeCommit));
  const statements = <T>(work: (tx: Tx) => Promise<T>) =>
    enqueue(true, ({ tx }, beforeCommit) => {
      beforeCommit();
      return work(tx);
    });

  const clock = setInterval(() => {
    enqueue(false, async ({ sql }) => {
      offsetMs = await readOffset(sql, elapsed);
    }).catch((error) => log.warn("Could not read PostgreSQL's clock.", error));
  }, CLOCK_EVERY_MS);
  clock.unref();

  return {
    isShared: postgresDialect.isShared,
    now: () => Math.round(elapsed() + offsetMs),
    run,
    read: (query) => enqueue(false, ({ tx }) => query(tx)),
    // A retry would only wait again for a server that is down.
    batch: createBatch({
      run: statements,
      metrics,
      retriesItems: (error) => !(error instanceof Unavailable || error instanceof OutcomeUnknown),
    }),
    async measure() {
      const databaseBytes = await enqueue(false, async ({ sql }) => {
        const [{ bytes }] = await sql`
          SELECT pg_database_size(current_database())::float8 AS bytes`;
        return Number(bytes);
      });
      return { queuedTransactions: queue.length, databaseBytes, walBytes: undefined };
    },
    ping: () =>
      enqueue(false, async ({ sql }) => {
        // Even a read-only server writes the message to disk; the empty UPDATE makes it fail there.
        await sql`
          WITH probe AS (UPDATE nmservis_migrations SET hash = hash WHERE false)
          SELECT pg_logical_emit_message(true, 'nmservis', '')`;
      }),
    async close() {
      closed = true;
      clearInterval(clock);
      if (idle.length < CONNECTIONS) await allIdle.promise;
      for (const { connection } of idle) connection?.end();
    },
  };
}

/** Returns the server's time minus `elapsed`, in ms, accurate to half the round trip. */
async function readOffset(sql: SQL, elapsed: Clock): Promise<number> {
  const askedAt = elapsed();
  const [{ ms }] = await sql`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms`;
  return ms - (askedAt + elapsed()) / 2;
}

/** Describes the database without its password. */
function nameOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${pathname.slice(1)} on ${host}`;
}
