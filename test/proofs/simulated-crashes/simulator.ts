import type { Database } from "bun:sqlite";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApp } from "../../../src/app.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { readConfig } from "../../../src/config.ts";
import type { CallOptions } from "../../../src/lib/with-timeout.ts";
import { openStore } from "../../support/store.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import type { Store } from "../../../src/store/store.ts";
import {
  createClients,
  FIRST_PRICE_TIYIN,
  LONGEST_ABSENCE_MS,
  type Server,
  TARIFFS,
} from "./clients.ts";
import { diskFault, hookDatabases } from "./database-hooks.ts";
import { createOracle, type Row } from "./oracle.ts";
import { createOutsideWorld } from "./outside-world.ts";
import { drawPlan, type KillPoint } from "./plan.ts";
import { createSeededRandom } from "./random.ts";
import { createScheduler } from "./scheduler.ts";

/** Ways to break the service that the simulator must detect. */
export const SABOTAGES = [
  "a fresh payment key per attempt",
  "record a notification that was not sent",
  "a COMMIT that keeps nothing",
] as const;

export type Sabotage = (typeof SABOTAGES)[number];

export interface Report {
  readonly seed: number;
  /** Broken promises; empty if the service works. */
  readonly violations: readonly string[];
  /** One line per event. */
  readonly trace: readonly string[];
  readonly counts: Counts;
}

/** The counts of a schedule's events, all zero. */
export const NO_COUNTS = {
  requests: 0,
  orders: 0,
  kills: 0,
  commitsFailed: 0,
  charges: 0,
  repeats: 0,
};

/** Returns the sum of two schedules' counts. */
export function sumOf(one: Counts, other: Counts): Counts {
  return {
    requests: one.requests + other.requests,
    orders: one.orders + other.orders,
    kills: one.kills + other.kills,
    commitsFailed: one.commitsFailed + other.commitsFailed,
    charges: one.charges + other.charges,
    repeats: one.repeats + other.repeats,
  };
}

export type Counts = Readonly<typeof NO_COUNTS>;

/** An arbitrary day. */
const START = Date.UTC(2026, 10, 23, 9, 30);

/** Long enough after a restart: everything is due at once, so one poll and its calls suffice. */
const DONE_AFTER_START_MS = 5000;

/** Long enough without a restart: the longest backoff plus an earlier payment timeout. */
const DONE_MS = 2 * 3_600_000;

/** Running time between two suspensions, enough for several polls. */
const AWAKE_MS = 2000;

/** Long suspensions, so that hours of backoff take few polls. */
const SLEEP_MS = 300_000;

/** With write-log.c: syncs fail while a file with this path exists. */
const SYNC_FAULT = process.env["WRITE_LOG_FAIL_SYNCS"];

/** The same for writes after the first N, the file's size. A COMMIT with changes writes twice. */
const WRITE_FAULT = process.env["WRITE_LOG_FAIL_WRITES"];

/** The folder that write-log.c watches; the databases must be in it. */
const WRITE_LOG_OF = process.env["WRITE_LOG_OF"];

/** A simulated process of the service. */
interface Process extends Server {
  alive: boolean;
  handle: Server["handle"];
  readonly path: string;
  readonly databases: Set<Database>;
}

/** The migrated database that each schedule starts with. */
let template: Promise<Buffer> | undefined;

/** Runs the schedule of this seed. Must not run concurrently: it replaces the global timers. */
export async function simulate(seed: number, sabotage?: Sabotage): Promise<Report> {
  template ??= createTemplate();
  return simulateOn(await template, seed, sabotage);
}

async function createTemplate(): Promise<Buffer> {
  using folder = createFolder();
  const path = join(folder.path, "template.db");
  const store = openStore(path);
  await store.run(async (tx) => {
    const priceTiyin = FIRST_PRICE_TIYIN;
    await tx
      .insert(tx.tables.tariffs)
      .values({ code: "express", title: "Express", priceTiyin, active: true });
  });
  await store.close();
  const bytes = readFileSync(path);
  // A warm-up: the framework caches compiled code, so the first run differs from later ones.
  await simulateOn(bytes, 0);
  return bytes;
}

/** Returns a temporary folder, in memory if the system has /dev/shm. */
function createFolder() {
  const memory = "/dev/shm";
  const parent = WRITE_LOG_OF ?? (existsSync(memory) ? memory : tmpdir());
  return temporaryFolder(parent);
}

async function simulateOn(database: Buffer, seed: number, sabotage?: Sabotage): Promise<Report> {
  const random = createSeededRandom(seed);
  const plan = drawPlan(random);
  const events: string[] = [];
  const counts = { ...NO_COUNTS };
  using folder = createFolder();

  using scheduler = createScheduler(random, trace);
  let clockSetByMs = 0;
  const clock = () => START + scheduler.nowMs() + clockSetByMs;
  const { paymentTimeoutMs, flips } = plan;
  const repeatWindowMs = plan.repeatWindowS * 1000;
  const oracle = createOracle({
    paymentTimeoutMs,
    repeatWindowMs,
    flips,
    nowMs: scheduler.nowMs,
    clock,
  });
  const config = readConfig({
    PAYMENT_TIMEOUT_MS: String(paymentTimeoutMs),
    ORDER_REPEAT_WINDOW_S: String(plan.repeatWindowS),
    ORDERS_PER_USER_PER_HOUR: "0",
  });
  /** If true, nothing fails any more. */
  let isHealthy = false;
  let lastId = 0;
  const worldOf = createOutsideWorld({
    random,
    scheduler,
    oracle,
    paymentTimeoutMs,
    flips,
    faultRate: () => (isHealthy ? 0 : plan.faultRate),
  });

  const clients = createClients({
    random,
    scheduler,
    oracle,
    plan,
    server: () => live,
    isHealthy: () => isHealthy,
    trace,
    onRequest: () => void (counts.requests += 1),
    onAnswer(isReplayed) {
      if (isReplayed) counts.repeats += 1;
      reach("after an answer");
    },
  });

  function trace(event: string) {
    events.push(`${scheduler.nowMs()} ms: ${event}`);
  }

  let commits = 0;
  let isDiskFailing = false;
  /** Whether a database is being opened and migrated. */
  let isOpening = false;
  let live: Process = newProcess();
  /** The process killed in the current event, whose remaining code still runs without effect. */
  let killed: Process | undefined;

  function newProcess(): Process {
    const path = join(folder.path, `${counts.kills}`, "x.db");
    mkdirSync(join(path, ".."), { recursive: true });
    return { alive: true, path, databases: new Set(), handle: undefined };
  }

  using _hooks = hookDatabases({
    opened: (database) => void live.databases.add(database),
    begin(database) {
      if (isOpening) return;
      reach("before a BEGIN", database);
    },
    commit(database, commit) {
      if (isOpening) return commit();
      reach("before a COMMIT", database);
      commits += 1;
      const begins = plan.failingCommits.has(commits);
      isDiskFailing =
        !isHealthy && (begins || (isDiskFailing && random.happens(plan.failsOnShare)));
      if (isDiskFailing) failCommit(database, commit);
      const walBytes = plan.kills[0]?.point === "in a COMMIT" ? sizeOf(`${live.path}-wal`) : 0;
      if (sabotage === "a COMMIT that keeps nothing") database.run("ROLLBACK");
      else commit();
      reach("in a COMMIT", database, walBytes);
      oracle.commit(readOrders(database));
      reach("after a COMMIT", database);
    },
  });

  function failCommit(database: Database, commit: () => void): never {
    counts.commitsFailed += 1;
    oracle.commitFailed();
    trace(`COMMIT ${commits} fails`);
    const point = "after a COMMIT that failed";
    // A kill shows whether the failed COMMIT, which may be in the WAL, reappears.
    if (SYNC_FAULT !== undefined) plan.kills.unshift({ point, hits: random.integer(1, 3) });
    scheduler.after(0, "a moment later", () => reach(point));
    if (WRITE_FAULT !== undefined && random.happens(0.5)) {
      failOnDisk(WRITE_FAULT, "x".repeat(random.integer(0, 1)), commit);
    } else if (SYNC_FAULT !== undefined) failOnDisk(SYNC_FAULT, "", commit);
    // SQLite rolls back automatically after some errors and not after others.
    else if (random.happens(0.5)) database.run("ROLLBACK");
    throw diskFault();
  }

  /** Marks a point where the process may be killed. Throws if `database` belongs to a dead process. */
  function reach(point: KillPoint, database?: Database, walBytes?: number) {
    const next = plan.kills[0];
    if (live.alive && !isHealthy && next?.point === point && --next.hits <= 0) {
      plan.kills.shift();
      kill(point, walBytes);
    }
    if (database !== undefined && !(live.alive && live.databases.has(database))) {
      throw new Error("this process is dead");
    }
  }

  /**
   * Kills the process. Files already written survive. If `walBytes`, the WAL size before the
   * running COMMIT, is given, only part of that COMMIT survives.
   */
  function kill(point: KillPoint, walBytes?: number) {
    trace(`kill -9 ${point}`);
    const dead = live;
    dead.alive = false;
    counts.kills += 1;
    live = newProcess();
    live.alive = false;
    for (const suffix of ["", "-wal"]) {
      if (existsSync(dead.path + suffix)) copyFileSync(dead.path + suffix, live.path + suffix);
    }
    if (walBytes !== undefined) {
      truncateSync(`${live.path}-wal`, random.integer(walBytes, sizeOf(`${live.path}-wal`) - 1));
    }
    killed = dead;
  }

  function cleanUpKilled() {
    scheduler.dropProcess();
    for (const database of killed?.databases ?? []) database.close();
    killed = undefined;
    clients.cutOff();
    scheduler.after(random.pick([0, 1000]), "the process starts", start);
  }

  function open(path: string): Store {
    isOpening = true;
    const store = openStore(path);
    isOpening = false;
    return store;
  }

  /** Starts the service like src/server.ts. */
  function start() {
    const own = live;
    own.alive = true;
    oracle.processStarts();
    const world = worldOf({
      get alive() {
        return own.alive;
      },
      reach: (point) => own.alive && reach(point),
    });
    const log = createLog({
      level: plan.logLevel,
      json: false,
      write: (line) => own.alive && trace(line),
      now: clock,
    });
    const store = open(own.path);
    for (const database of own.databases) {
      if (database.filename === own.path) oracle.reopened(readOrders(database));
    }
    const app = createApp({
      ...world,
      ...sabotaged(world),
      store,
      log,
      webhook: null,
      metrics: createMetrics("test", () => performance.now()),
      now: clock,
      randomId: () => `id-${++lastId}-${random.integer(0, 999_999)}`,
      config,
    });
    own.handle = async (request) => app.http.handle(request);
    void app.run(new AbortController().signal);
  }

  function sabotaged({ payment }: ReturnType<typeof worldOf>) {
    return {
      ...(sabotage === "a fresh payment key per attempt" && {
        payment: {
          charge: (charge: Parameters<typeof payment.charge>[0], options: CallOptions) =>
            payment.charge({ ...charge, paymentKey: `${charge.paymentKey}-${++lastId}` }, options),
        },
      }),
      ...(sabotage === "record a notification that was not sent" && {
        dispatcher: { notify: async () => {} },
      }),
    };
  }

  async function runUntil(endMs: number, isDone = () => false) {
    while (!isDone() && (await scheduler.step(endMs))) if (killed !== undefined) cleanUpKilled();
  }

  /** Runs until all requests are answered. Reports a violation if some are not answered in time. */
  async function runUntilAnswered() {
    const endMs = scheduler.nowMs() + 2 * paymentTimeoutMs + DONE_AFTER_START_MS;
    // By then every scheduled request is in flight, even if the service has to start first.
    await runUntil(scheduler.nowMs() + LONGEST_ABSENCE_MS);
    await runUntil(endMs, () => clients.waiting() === 0);
    if (clients.waiting() > 0)
      oracle.reportViolation(`${clients.waiting()} requests have no answer`);
  }

  function unhandled(reason: unknown) {
    oracle.reportViolation(`unhandled rejection: ${Bun.inspect(reason)}`);
  }

  async function run() {
    writeFileSync(live.path, database);
    for (const tariff of TARIFFS) oracle.tariff(tariff, FIRST_PRICE_TIYIN);
    start();
    for (let user = 1; user <= plan.users; user++) clients.register(user);
    const anyTime = () =>
      Math.round((random.integer(0, plan.times) * plan.healthyFromMs) / plan.times);
    for (let n = 0; n < plan.acts; n++) scheduler.after(anyTime(), "a client acts", clients.act);
    for (const jumpMs of plan.clockJumpsMs) {
      scheduler.after(
        anyTime(),
        `the clock is set by ${jumpMs} ms`,
        () => (clockSetByMs += jumpMs),
      );
    }
    scheduler.after(anyTime(), "any time", () => reach("at any time"));
    await runUntil(plan.healthyFromMs);

    trace("the world is healthy");
    isHealthy = true;
    await runUntilAnswered();
    clients.repeatAll();
    await runUntilAnswered();
    if (plan.endsWithStart && !oracle.isDone()) {
      kill("at any time");
      cleanUpKilled();
      await runUntil(scheduler.nowMs() + DONE_AFTER_START_MS, oracle.isDone);
    }
    const endMs = scheduler.nowMs() + (plan.endsWithStart ? 0 : DONE_MS);
    while (!oracle.isDone() && scheduler.nowMs() < endMs) {
      scheduler.sleep(SLEEP_MS);
      await runUntil(scheduler.nowMs() + AWAKE_MS, oracle.isDone);
    }
    oracle.close();
  }

  process.on("unhandledRejection", unhandled);
  try {
    await run();
  } finally {
    process.off("unhandledRejection", unhandled);
    scheduler.dropProcess();
    for (const database of live.databases) database.close();
  }
  counts.orders = oracle.orders().size;
  counts.charges = oracle.charges();
  return { seed, violations: oracle.violations, trace: events, counts };
}

function readOrders(database: Database): Row[] {
  return database.query<Row, []>("SELECT * FROM orders ORDER BY id").all();
}

/** Commits on a failing disk: SQLite throws, but the WAL may contain the transaction. */
function failOnDisk(fault: string, content: string, commit: () => void) {
  writeFileSync(fault, content);
  try {
    commit();
  } finally {
    rmSync(fault);
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
