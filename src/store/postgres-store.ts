import type { SQL } from "bun";
import { Unavailable } from "../errors.ts";
import { type Log, reasonOf } from "../log.ts";
import { type CommitMetrics, NO_COMMIT_METRICS } from "../metrics.ts";
import type { Clock } from "../ports.ts";
import { withTimeout } from "../with-timeout.ts";
import { createBatch } from "./batch.ts";
import { DatabaseUnusable } from "./database-lock.ts";
import { OutcomeUnknown, toStoreFault } from "./postgres-faults.ts";
import { connect, createLane, type Lane } from "./postgres-lane.ts";
import { checkIsCurrent, checkServer, migrate } from "./postgres-migrations.ts";
import type { Reader, Store, Tx } from "./store.ts";

/**
 * Steps that run at a time. What waits gathers in batches, and the disk writes one after the other: four make a
 * tenth less on a disk of this machine, and no more where the network takes 1 ms each way.
 */
const LANES = 2;

/** A step that has not ended by then is refused, its waiting included; a server takes milliseconds. */
const STEP_TIMEOUT_MS = 5000;

/**
 * The server gives a statement up after this share of a step's time, and none is begun with less left than
 * the other: so we hear, nearly always, that nothing was kept.
 */
const STATEMENT_SHARE = 0.4;
const BEGINNING_SHARE = 0.5;

/** How long to wait before a connection is tried again that could not be made. */
const RECONNECT_PAUSE_MS = 100;

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
  readonly work: (lane: Lane) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
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
  const lane = createLane(url, STEP_TIMEOUT_MS);
  try {
    checkTransport(url);
    await withTimeout(STEP_TIMEOUT_MS, () => checkServer(lane.connection));
    await checkIsCurrent(lane.connection);
  } catch (error) {
    lane.end();
    throw new DatabaseUnusable(`The database ${nameOf(url)} can't be opened: ${reasonFor(error)}.`);
  }
  return { read: (query) => query(lane.tx), close: async () => lane.end() };
}

async function open(
  url: string,
  log: Log,
  elapsed: Clock,
  metrics: CommitMetrics,
  stepTimeoutMs: number,
): Promise<PostgresStore> {
  const opening = connect(url);
  let offsetMs: number;
  try {
    await withTimeout(stepTimeoutMs, () => checkServer(opening));
    await migrate(opening);
    offsetMs = await readOffset(opening, elapsed);
  } finally {
    await opening.close({ timeout: 0 });
  }

  const waiting: Step[] = [];
  const newLane = () => createLane(url, stepTimeoutMs * STATEMENT_SHARE);
  const idle: Lane[] = Array.from({ length: LANES }, newLane);
  let closed = false;
  let allIdle = Promise.withResolvers<void>();

  function enqueue<T>(writes: boolean, work: (lane: Lane) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (closed) return reject(new Unavailable("the store is closed"));
      if (waiting.length >= MAX_WAITING) return reject(new Unavailable("too many steps wait"));
      const deadline = elapsed() + stepTimeoutMs;
      // `as`: only what this step's own work returns is ever handed to its resolve.
      const settle = resolve as (value: unknown) => void;
      waiting.push({ deadline, writes, work, resolve: settle, reject });
      const lane = idle.pop();
      // A turn later, so that what comes meanwhile joins the step.
      if (lane !== undefined) setImmediate(() => void serve(lane));
    });
  }

  /** Does what waits, one step after the other. */
  async function serve(first: Lane): Promise<void> {
    let lane = first;
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      lane = await perform(lane, step);
    }
    idle.push(lane);
    if (idle.length === LANES) {
      allIdle.resolve();
      allIdle = Promise.withResolvers();
    }
  }

  /** Settles the step, and answers with the lane to go on with: another, where this one's connection is lost. */
  async function perform(first: Lane, step: Step): Promise<Lane> {
    const leftMs = () => step.deadline - elapsed();
    let lane = first;
    let mayBeKept = false;
    let error: Error = new Unavailable("the step has waited for too long");
    const isLate = leftMs() < stepTimeoutMs * BEGINNING_SHARE;
    for (let attempt = 1; !isLate && leftMs() > 0; attempt++) {
      try {
        const current = lane;
        const endCommit = metrics.startCommit();
        const value = await withTimeout(leftMs(), () => step.work(current));
        if (step.writes) endCommit();
        step.resolve(value);
        return lane;
      } catch (thrown) {
        const fault = toStoreFault(thrown);
        error = fault.error;
        if (fault.kind === "lost" || fault.kind === "unreachable") {
          mayBeKept ||= fault.kind === "lost" && step.writes;
          // What still runs there can't reach the new connection.
          lane.end();
          lane = newLane();
          await new Promise((resolve) => setTimeout(resolve, RECONNECT_PAUSE_MS));
        } else if (fault.kind === "refused" || attempt === MAX_CONFLICTS) break;
      }
    }
    step.reject(mayBeKept ? new OutcomeUnknown("it may be kept or not", { cause: error }) : error);
    return lane;
  }

  const run = <T>(work: (tx: Tx) => Promise<T>) => enqueue(true, (lane) => lane.transact(work));
  const statements = <T>(work: (tx: Tx) => Promise<T>) => enqueue(true, (lane) => work(lane.tx));

  const clock = setInterval(() => {
    enqueue(false, async (lane) => {
      offsetMs = await readOffset(lane.connection, elapsed);
    }).catch((error) => log.warn("The server's clock can't be read.", error));
  }, CLOCK_EVERY_MS);
  clock.unref();

  return {
    isShared: true,
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
      for (const lane of idle) lane.end();
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

function reasonFor(error: unknown): string {
  const { error: fault } = toStoreFault(error);
  const cause = fault instanceof Unavailable ? fault.cause : fault;
  return cause instanceof Error ? cause.message : reasonOf(cause);
}
