import { postgresDialect } from "../dialect.ts";
import type { SQL } from "bun";
import { Unavailable } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { type CommitMetrics, NO_COMMIT_METRICS } from "../../metrics.ts";
import type { Clock } from "../../ports.ts";
import { withTimeout } from "../../lib/with-timeout.ts";
import { createBatch } from "../batch.ts";
import { DatabaseUnusable } from "../errors.ts";
import { OutcomeUnknown, reasonFor, classifyError, Unreachable } from "./errors.ts";
import { connect, type Connection, openConnection } from "./connection.ts";
import { assertUpToDate, checkServer, checkSessions, migrate } from "./migrations.ts";
import type { Reader, Store, Tx } from "../store.ts";

/**
 * Steps that run at a time. What waits gathers in batches, and the disk writes one after the other: four make a
 * tenth less on a disk of this machine, and no more where the network takes 1 ms each way.
 */
const LANES = 2;

/** A step that has not ended by then is refused, its waiting included; a server takes milliseconds. */
const STEP_TIMEOUT_MS = 5000;

/** How long a connection may take at the start, and then the checks of the server. */
const OPENING_TIMEOUT_MS = 5000;

/**
 * The server cancels a statement after this share of a step's time, and no attempt begins with less left than
 * the other. So the server's answer nearly always comes in time, and the outcome is known.
 */
const STATEMENT_SHARE = 0.4;
const BEGINNING_SHARE = 0.5;

/** The pauses before a step is tried on a new connection: each is twice as long as the one before. */
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 500;

/** How often a step is tried that another transaction stands in the way of. */
const MAX_CONFLICTS = 5;

const MAX_WAITING = 100_000;

/** How often the server's clock is read, from which our own may drift. */
const CLOCK_EVERY_MS = 5000;

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\]|)$/;

export interface PostgresStore extends Store {
  /** The server's clock, which is that of every copy. */
  readonly now: Clock;
}

interface Step {
  /** By when it is settled, on the clock of `performance`. */
  readonly deadline: number;
  /** Whether it may change something. */
  readonly writes: boolean;
  /** Calls `beforeCommit` before it sends what may commit, and then not if that throws. */
  readonly work: (lane: Connection, beforeCommit: () => void) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The place of a lane, which is opened for the first step and again after its connection is lost. */
interface Slot {
  lane: Connection | undefined;
}

/**
 * Opens the PostgreSQL database at `url`, made up to date first; other processes may have it open as well.
 * `elapsed` is a clock that nobody sets, in ms from any instant. Rejects with `DatabaseUnusable` where the
 * database can't be used; the message names no password.
 */
export async function openPostgresStore(
  url: string,
  log: Log,
  elapsed: Clock,
  metrics = NO_COMMIT_METRICS,
  stepTimeoutMs = STEP_TIMEOUT_MS,
): Promise<PostgresStore> {
  const name = nameOf(url);
  try {
    checkTransport(url);
    return await open(url, log, elapsed, metrics, stepTimeoutMs);
  } catch (error) {
    const reason = reasonFor(error);
    throw new DatabaseUnusable(`The database ${name} can't be opened: ${reason}.`);
  }
}

/**
 * Opens the PostgreSQL database at `url` for one who only looks. Rejects with `DatabaseUnusable`; the message
 * names no password.
 */
export async function openPostgresReader(url: string): Promise<Reader> {
  try {
    await withCheckedConnection(url, assertUpToDate);
    const lane = await openConnection(url, OPENING_TIMEOUT_MS, OPENING_TIMEOUT_MS);
    return { read: (query) => query(lane.tx), close: async () => lane.end() };
  } catch (error) {
    throw new DatabaseUnusable(`The database ${nameOf(url)} can't be opened: ${reasonFor(error)}.`);
  }
}

/** Runs `work` on a connection like those of the service, to a server that the service can use. */
async function withCheckedConnection<T>(url: string, work: (sql: SQL) => Promise<T>): Promise<T> {
  checkTransport(url);
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
  stepTimeoutMs: number,
): Promise<PostgresStore> {
  let offsetMs = await withCheckedConnection(url, async (sql) => {
    await migrate(sql);
    return await readOffset(sql, elapsed);
  });

  const waiting: Step[] = [];
  const idle: Slot[] = Array.from({ length: LANES }, () => ({ lane: undefined }));
  let closed = false;
  let allIdle = Promise.withResolvers<void>();

  function enqueue<T>(
    writes: boolean,
    work: (lane: Connection, beforeCommit: () => void) => Promise<T>,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (closed) return reject(new Unavailable("the store is closed"));
      if (waiting.length >= MAX_WAITING) return reject(new Unavailable("too many steps wait"));
      const deadline = elapsed() + stepTimeoutMs;
      // `as`: only what this step's own work returns is ever handed to its resolve.
      const settle = resolve as (value: unknown) => void;
      waiting.push({ deadline, writes, work, resolve: settle, reject });
      const slot = idle.pop();
      // A turn later, so that what comes meanwhile joins the step.
      if (slot !== undefined) setImmediate(() => void serve(slot));
    });
  }

  /** Does what waits, one step after the other. */
  async function serve(slot: Slot): Promise<void> {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      await perform(slot, step);
    }
    idle.push(slot);
    if (idle.length === LANES) {
      allIdle.resolve();
      allIdle = Promise.withResolvers();
    }
  }

  /** Settles the step. Replaces the slot's lane if its connection is lost. */
  async function perform(slot: Slot, step: Step): Promise<void> {
    const leftMs = () => step.deadline - elapsed();
    /** How long attempts may still begin. */
    const spareMs = () => leftMs() - stepTimeoutMs * BEGINNING_SHARE;
    let mayBeKept = false;
    let error: Error = new Unavailable("the step has waited for too long");
    let conflicts = 0;
    let pauseMs = FIRST_PAUSE_MS;
    while (spareMs() > 0) {
      let isCommitting = false;
      try {
        const { lane } = slot;
        if (lane === undefined || !lane.isOpen()) {
          slot.lane = await openConnection(url, stepTimeoutMs * STATEMENT_SHARE, spareMs());
          continue;
        }
        if (step.writes && lane.isReadOnly) {
          throw new Unreachable(new Error("the server only reads"));
        }
        const endCommit = metrics.startCommit();
        const value = await withTimeout(leftMs(), () =>
          step.work(lane, () => {
            // Also when an attempt that was given up gets here later.
            if (!lane.isOpen()) throw new Unreachable(new Error("no connection for the COMMIT"));
            isCommitting = true;
          }),
        );
        if (step.writes) endCommit();
        return step.resolve(value);
      } catch (thrown) {
        const fault = classifyError(thrown);
        error = fault.error;
        if (fault.kind === "refused") break;
        if (fault.kind === "conflict") {
          conflicts += 1;
          if (conflicts === MAX_CONFLICTS) break;
          continue;
        }
        mayBeKept ||= fault.kind === "lost" && isCommitting;
        // What still runs there can't reach the new connection.
        slot.lane?.end();
        slot.lane = undefined;
        await Bun.sleep(Math.min(pauseMs, Math.max(spareMs(), 0)));
        pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
      }
    }
    step.reject(mayBeKept ? new OutcomeUnknown("it may be kept or not", { cause: error }) : error);
  }

  const run = <T>(work: (tx: Tx) => Promise<T>) =>
    enqueue(true, (lane, beforeCommit) => lane.transact(work, beforeCommit));
  const statements = <T>(work: (tx: Tx) => Promise<T>) =>
    enqueue(true, (lane, beforeCommit) => {
      beforeCommit();
      return work(lane.tx);
    });

  const clock = setInterval(() => {
    enqueue(false, async (lane) => {
      offsetMs = await readOffset(lane.connection, elapsed);
    }).catch((error) => log.warn("The server's clock can't be read.", error));
  }, CLOCK_EVERY_MS);
  clock.unref();

  return {
    isShared: postgresDialect.isShared,
    now: () => Math.round(elapsed() + offsetMs),
    run,
    read: (query) => enqueue(false, (lane) => query(lane.tx)),
    // One by one they would wait as long again for a server that is away.
    batch: createBatch({
      run: statements,
      metrics,
      isOfOneItem: (error) => !(error instanceof Unavailable || error instanceof OutcomeUnknown),
    }),
    async measure() {
      const databaseBytes = await enqueue(false, async ({ connection }) => {
        const [{ bytes }] = await connection`
          SELECT pg_database_size(current_database())::float8 AS bytes`;
        return Number(bytes);
      });
      return { waiting: waiting.length, databaseBytes, walBytes: undefined };
    },
    ping: () =>
      enqueue(false, async ({ connection }) => {
        // The message reaches the disk, also where nothing else may: the update of no row fails there.
        await connection`
          WITH probe AS (UPDATE nmservis_migrations SET hash = hash WHERE false)
          SELECT pg_logical_emit_message(true, 'nmservis', '')`;
      }),
    async close() {
      closed = true;
      clearInterval(clock);
      if (idle.length < LANES) await allIdle.promise;
      for (const { lane } of idle) lane?.end();
    },
  };
}

/** What the server's clock is ahead of ours, in ms; half of the way to the server and back is unknown. */
async function readOffset(sql: SQL, elapsed: Clock): Promise<number> {
  const askedAt = elapsed();
  const [{ ms }] = await sql`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms`;
  return ms - (askedAt + elapsed()) / 2;
}

/** A password in clear text is not to travel. */
function checkTransport(url: string): void {
  const { hostname, searchParams } = new URL(url);
  const mode = searchParams.get("sslmode");
  if (LOOPBACK.test(hostname) || mode === "require" || mode === "verify-full") return;
  throw new Error("a host that is not this machine needs sslmode=require or sslmode=verify-full");
}

/** The database in words, without its password. */
function nameOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${pathname.slice(1)} on ${host}`;
}
