import { postgresDialect } from "./schema.ts";
import type { SQL } from "bun";
import { Unavailable } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { NO_COMMIT_METRICS } from "../../metrics.ts";
import type { Clock } from "../../ports.ts";
import { withTimeout } from "../../lib/with-timeout.ts";
import { createBatch } from "../batch.ts";
import { DatabaseUnusable } from "../errors.ts";
import { OutcomeUnknown, reasonFor, connect, openConnection } from "./connection.ts";
import { createOperationQueue } from "./operation-queue.ts";
import { assertUpToDate, checkServer, checkSessions, migrate } from "./migrations.ts";
import type { Reader, Store, Tx } from "../store.ts";

/** Timeout of a transaction or query, including the time in the queue. Most take milliseconds. */
const OPERATION_TIMEOUT_MS = 5000;

/** Timeout of each connection attempt at the start, and of the server checks. */
const OPENING_TIMEOUT_MS = 5000;

/** Interval between readings of the server's clock. Ours may drift. */
const CLOCK_EVERY_MS = 5000;

/** A slower reading is ignored: half of its round trip is more than instances' clocks may differ. */
const MAX_ROUND_TRIP_MS = 500;

export interface PostgresStore extends Store {
  /** The server's clock, which all instances share. */
  readonly now: Clock;
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
  let offsetMs: number;
  try {
    offsetMs = await withCheckedConnection(url, async (sql) => {
      await migrate(sql);
      return await readOffset(sql, elapsed);
    });
  } catch (error) {
    throw unusable(url, error);
  }

  const operations = createOperationQueue(url, elapsed, metrics, timeoutMs);
  const { enqueue } = operations;

  const run = <T>(work: (tx: Tx) => Promise<T>) =>
    enqueue(true, ({ transact }, beforeCommit) => transact(work, beforeCommit));
  const statements = <T>(work: (tx: Tx) => Promise<T>) =>
    enqueue(true, ({ tx }, beforeCommit) => {
      beforeCommit();
      return work(tx);
    });

  const clock = setInterval(() => {
    enqueue(false, async ({ sql }) => {
      offsetMs = await readOffset(sql, elapsed, offsetMs);
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
      return {
        queuedTransactions: operations.countQueued(),
        databaseBytes,
        walBytes: undefined,
      };
    },
    ping: () =>
      enqueue(false, async ({ sql }) => {
        // Even a read-only server writes the message to disk; the empty UPDATE makes it fail there.
        await sql`
          WITH probe AS (UPDATE nmservis_migrations SET hash = hash WHERE false)
          SELECT pg_logical_emit_message(true, 'nmservis', '')`;
      }),
    async close() {
      clearInterval(clock);
      await operations.close();
    },
  };
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
    throw unusable(url, error);
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

/**
 * Returns the server's time minus `elapsed`, in ms, accurate to half the round trip; `known` if the
 * round trip was too slow, for example because the server stalled.
 */
async function readOffset(sql: SQL, elapsed: Clock, known?: number): Promise<number> {
  const askedAt = elapsed();
  const [{ ms }] = await sql`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms`;
  const answeredAt = elapsed();
  if (known !== undefined && answeredAt - askedAt > MAX_ROUND_TRIP_MS) return known;
  return ms - (askedAt + answeredAt) / 2;
}

/** Names the database without its password. */
function unusable(url: string, error: unknown): DatabaseUnusable {
  const { host, pathname } = new URL(url);
  const reason = reasonFor(error);
  return new DatabaseUnusable(
    `The database ${pathname.slice(1)} on ${host} can't be opened: ${reason}.`,
  );
}
