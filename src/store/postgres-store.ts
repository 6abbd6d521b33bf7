import { SQL } from "bun";
import { drizzle } from "drizzle-orm/bun-sql";
import { Unavailable } from "../errors.ts";
import { type Log, reasonOf } from "../log.ts";
import type { Clock } from "../ports.ts";
import { withTimeout } from "../with-timeout.ts";
import { createBatch } from "./batch.ts";
import { postgresColumns } from "./columns.ts";
import { DatabaseUnusable } from "./database-lock.ts";
import { postgresDialect } from "./dialect.ts";
import { checkApplied, checkCurrent, readMigrations } from "./migration-history.ts";
import { OutcomeUnknown, toStoreFault } from "./postgres-faults.ts";
import { createTables } from "./schema.ts";
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

const MIN_MAJOR = 14;
/** The advisory lock under which a database is changed as a whole. */
export const MIGRATION_LOCK = 6_770_401;

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\]|)$/;

const tables = createTables(postgresColumns);
const migrations = readMigrations("postgres");

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
  stepTimeoutMs = STEP_TIMEOUT_MS,
): Promise<PostgresStore> {
  const name = nameOf(url);
  try {
    checkTransport(url);
    return await open(url, log, elapsed, stepTimeoutMs);
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
    const { hashes, hasTables } = await readApplied(lane.connection);
    checkCurrent(hashes, migrations, hasTables);
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
        step.resolve(await withTimeout(leftMs(), () => step.work(current)));
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
      isOfOneItem: (error) => !(error instanceof Unavailable || error instanceof OutcomeUnknown),
    }),
    ping: () =>
      enqueue(false, async ({ connection }) => {
        await connection`SELECT pg_logical_emit_message(true, 'nmservis', '')`;
      }),
    async close() {
      closed = true;
      clearInterval(clock);
      if (idle.length < LANES) await allIdle.promise;
      for (const lane of idle) lane.end();
    },
  };
}

/** One connection, on which one step runs at a time. */
interface Lane {
  /** Queries outside a transaction, each whole alone; in `transact` inside one. */
  readonly tx: Tx;
  transact<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  readonly connection: SQL;
  /** Closes the connection, whatever goes on there. */
  end(): void;
}

function createLane(url: string, statementTimeoutMs: number): Lane {
  const connection = connect(url, { statement_timeout: Math.round(statementTimeoutMs) });
  let current: Pick<SQL, "unsafe"> = connection;
  // One object for the lane's life: the library's own transaction would make one each time, and with it
  // every prepared query anew.
  const window = { unsafe: (text: string, values?: unknown[]) => current.unsafe(text, values) };
  // `as`: of a client the builders use `unsafe` alone.
  const builders = drizzle({ client: window as SQL, casing: "snake_case" });
  const tx: Tx = Object.assign(builders, { tables, sqlDialect: postgresDialect });
  return {
    tx,
    // Not with a BEGIN of our own: the driver would connect again in silence, and commit outside of it.
    transact: (work) =>
      connection.begin(async (transaction) => {
        current = transaction;
        try {
          return await work(tx);
        } finally {
          current = connection;
        }
      }),
    connection,
    end: () => void connection.close({ timeout: 0 }).catch(() => {}),
  };
}

/** One connection to the server, made when it is first used. */
export function connect(url: string, settings: Record<string, number> = {}): SQL {
  return new SQL({
    url,
    max: 1,
    connectionTimeout: STEP_TIMEOUT_MS / 1000,
    connection: settings,
  });
}

async function checkServer(sql: SQL): Promise<void> {
  const [{ version, commit }] = await sql`
    SELECT current_setting('server_version_num')::int AS version,
      current_setting('synchronous_commit') AS commit`;
  if (version < MIN_MAJOR * 10_000) {
    const [major, minor] = [Math.floor(version / 10_000), version % 10_000];
    throw new Error(
      `PostgreSQL ${major}.${minor} is too old: ${MIN_MAJOR} is the oldest that will do`,
    );
  }
  if (commit === "off") {
    throw new Error("its synchronous_commit is off: what is answered could be lost");
  }
}

/** Brings the database up to date; of several processes one after the other does. */
async function migrate(sql: SQL): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`;
    const { known, hashes, hasTables } = await readApplied(tx);
    checkApplied(hashes, migrations, hasTables);
    if (!known) {
      await tx`CREATE TABLE nmservis_migrations (number int PRIMARY KEY, hash text NOT NULL)`;
    }
    for (const [number, migration] of migrations.entries()) {
      if (number < hashes.length) continue;
      for (const statement of migration.sql) await tx.unsafe(statement);
      await tx`INSERT INTO nmservis_migrations VALUES (${number}, ${migration.hash})`;
    }
  });
}

/** The migrations that the database has. */
async function readApplied(sql: SQL) {
  const [{ known, count }] = await sql`
    SELECT to_regclass('nmservis_migrations') IS NOT NULL AS known,
      (SELECT count(*)::int FROM pg_tables WHERE schemaname = current_schema()) AS count`;
  const applied: { hash: string }[] = known
    ? await sql`SELECT hash FROM nmservis_migrations ORDER BY number`
    : [];
  return { known, hashes: applied.map(({ hash }) => hash), hasTables: count > 0 };
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
