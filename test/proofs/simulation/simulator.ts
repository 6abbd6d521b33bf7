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
import { createChance } from "./random.ts";
import { createScheduler } from "./scheduler.ts";

/** Ways to break the service that the simulator must notice. */
export const SABOTAGES = [
  "a fresh payment key per try",
  "record a notification that was not sent",
  "a COMMIT that keeps nothing",
] as const;

export type Sabotage = (typeof SABOTAGES)[number];

export interface Report {
  readonly seed: number;
  /** What is wrong; nothing, if the service keeps its promises. */
  readonly wrongs: readonly string[];
  /** All that has happened, a line for each event. */
  readonly trace: readonly string[];
  readonly counts: Counts;
}

/** What a schedule is measured by. */
export const NO_COUNTS = {
  requests: 0,
  orders: 0,
  kills: 0,
  commitsFailed: 0,
  charges: 0,
  repeats: 0,
};

/** Adds up what two schedules, or more, have come to. */
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

/** Any day would do. */
const START = Date.UTC(2026, 10, 23, 9, 30);

/** After a start all that is left is due at once: it takes one look, and the answers. */
const DONE_AFTER_START_MS = 5000;

/** Without one it takes the longest pause, and what an order has waited for an answer before. */
const DONE_MS = 2 * 3_600_000;

/** Between two sleeps it looks for what is due more than once. */
const LOOKS_MS = 2000;

/** A machine that sleeps for so long at a time comes through hours in a few looks. */
const SLEEP_MS = 300_000;

/** Under write-log.c: while there is a file here, syncs fail, and with one a COMMIT fails as on a disk. */
const SYNC_FAULT = process.env["WRITE_LOG_FAIL_SYNCS"];

/** The same for writes: as many as the file has bytes are made first. A COMMIT that changes something has two. */
const WRITE_FAULT = process.env["WRITE_LOG_FAIL_WRITES"];

/** Where to work, where write-log.c is to know of it. */
const WRITE_LOG_OF = process.env["WRITE_LOG_OF"];

/** A process of the service, from its start until it is killed. */
interface Process extends Server {
  alive: boolean;
  handle: Server["handle"];
  readonly path: string;
  readonly databases: Set<Database>;
}

/** A database with its tables, for each schedule to begin with. */
let template: Promise<Buffer> | undefined;

/** Runs the schedule of this seed. One at a time: it takes over the timers of the whole program. */
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
  // The framework keeps some of what it compiles: only then is each run like the other.
  await simulateOn(bytes, 0);
  return bytes;
}

/** In memory, where the system has room for files there. */
function createFolder() {
  const memory = "/dev/shm";
  const parent = WRITE_LOG_OF ?? (existsSync(memory) ? memory : tmpdir());
  return temporaryFolder(parent);
}

async function simulateOn(database: Buffer, seed: number, sabotage?: Sabotage): Promise<Report> {
  const chance = createChance(seed);
  const plan = drawPlan(chance);
  const trace: string[] = [];
  const counts = { ...NO_COUNTS };
  using folder = createFolder();

  using scheduler = createScheduler(chance, note);
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
  /** From here on nothing fails. */
  let isHealthy = false;
  let lastId = 0;
  const worldOf = createOutsideWorld({
    chance,
    scheduler,
    oracle,
    paymentTimeoutMs,
    flips,
    faultRate: () => (isHealthy ? 0 : plan.faultRate),
  });

  const clients = createClients({
    chance,
    scheduler,
    oracle,
    plan,
    server: () => live,
    isHealthy: () => isHealthy,
    note,
    onRequest: () => void (counts.requests += 1),
    onAnswer(isReplayed) {
      if (isReplayed) counts.repeats += 1;
      pass("after an answer");
    },
  });

  function note(event: string) {
    trace.push(`${scheduler.nowMs()} ms: ${event}`);
  }

  let commits = 0;
  let isDiskFailing = false;
  /** While a database is opened, and brought up to date. */
  let isOpening = false;
  let live: Process = newProcess();
  /** The process that was killed in this turn, until all that it still does unseen is over. */
  let corpse: Process | undefined;

  function newProcess(): Process {
    const path = join(folder.path, `${counts.kills}`, "x.db");
    mkdirSync(join(path, ".."), { recursive: true });
    return { alive: true, path, databases: new Set(), handle: undefined };
  }

  using _hooks = hookDatabases({
    opened: (database) => void live.databases.add(database),
    begin(database) {
      if (isOpening) return;
      pass("before a BEGIN", database);
    },
    commit(database, commit) {
      if (isOpening) return commit();
      pass("before a COMMIT", database);
      commits += 1;
      const begins = plan.failingCommits.has(commits);
      isDiskFailing =
        !isHealthy && (begins || (isDiskFailing && chance.happens(plan.failsOnShare)));
      if (isDiskFailing) failCommit(database, commit);
      const walBytes = plan.kills[0]?.point === "in a COMMIT" ? sizeOf(`${live.path}-wal`) : 0;
      if (sabotage === "a COMMIT that keeps nothing") database.run("ROLLBACK");
      else commit();
      pass("in a COMMIT", database, walBytes);
      oracle.commit(readOrders(database));
      pass("after a COMMIT", database);
    },
  });

  function failCommit(database: Database, commit: () => void): never {
    counts.commitsFailed += 1;
    oracle.commitFailed();
    note(`COMMIT ${commits} fails`);
    const point = "after a COMMIT that failed";
    // Only then it shows whether what the log has all the same comes back.
    if (SYNC_FAULT !== undefined) plan.kills.unshift({ point, passes: chance.whole(1, 3) });
    scheduler.after(0, "a moment later", () => pass(point));
    if (WRITE_FAULT !== undefined && chance.happens(0.5)) {
      failOnDisk(WRITE_FAULT, "x".repeat(chance.whole(0, 1)), commit);
    } else if (SYNC_FAULT !== undefined) failOnDisk(SYNC_FAULT, "", commit);
    // SQLite gives some transactions up by itself, and leaves others open.
    else if (chance.happens(0.5)) database.run("ROLLBACK");
    throw diskFault();
  }

  /** Comes by a point where the process may be killed; throws where its database goes on without it. */
  function pass(point: KillPoint, database?: Database, walBytes?: number) {
    const next = plan.kills[0];
    if (live.alive && !isHealthy && next?.point === point && --next.passes <= 0) {
      plan.kills.shift();
      kill(point, walBytes);
    }
    if (database !== undefined && !(live.alive && live.databases.has(database))) {
      throw new Error("this process is dead");
    }
  }

  /** Ends the process. What the system has of its files stays: of a COMMIT that it is in only a part. */
  function kill(point: KillPoint, walBytes?: number) {
    note(`kill -9 ${point}`);
    const dead = live;
    dead.alive = false;
    counts.kills += 1;
    live = newProcess();
    live.alive = false;
    for (const suffix of ["", "-wal"]) {
      if (existsSync(dead.path + suffix)) copyFileSync(dead.path + suffix, live.path + suffix);
    }
    if (walBytes !== undefined) {
      truncateSync(`${live.path}-wal`, chance.whole(walBytes, sizeOf(`${live.path}-wal`) - 1));
    }
    corpse = dead;
  }

  function bury() {
    scheduler.dropProcess();
    for (const database of corpse?.databases ?? []) database.close();
    corpse = undefined;
    clients.cutOff();
    scheduler.after(chance.pick([0, 1000]), "the process starts", start);
  }

  function open(path: string): Store {
    isOpening = true;
    const store = openStore(path);
    isOpening = false;
    return store;
  }

  /** As src/server.ts does. */
  function start() {
    const own = live;
    own.alive = true;
    oracle.processStarts();
    const world = worldOf({
      get alive() {
        return own.alive;
      },
      pass: (point) => own.alive && pass(point),
    });
    const log = createLog({
      level: plan.logLevel,
      json: false,
      write: (line) => own.alive && note(line),
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
      randomId: () => `id-${++lastId}-${chance.whole(0, 999_999)}`,
      config,
    });
    own.handle = async (request) => app.http.handle(request);
    void app.run(new AbortController().signal);
  }

  function sabotaged({ payment }: ReturnType<typeof worldOf>) {
    return {
      ...(sabotage === "a fresh payment key per try" && {
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

  async function runUntil(endMs: number, isOver = () => false) {
    while (!isOver() && (await scheduler.step(endMs))) if (corpse !== undefined) bury();
  }

  /** Requests that are late have been noticed by then. */
  async function runUntilAnswered() {
    const endMs = scheduler.nowMs() + 2 * paymentTimeoutMs + DONE_AFTER_START_MS;
    // What is sent now is under way after a moment, and after a start at the latest.
    await runUntil(scheduler.nowMs() + LONGEST_ABSENCE_MS);
    await runUntil(endMs, () => clients.waiting() === 0);
    if (clients.waiting() > 0) oracle.wrong(`${clients.waiting()} requests have no answer`);
  }

  function unhandled(reason: unknown) {
    oracle.wrong(`an unhandled rejection: ${Bun.inspect(reason)}`);
  }

  async function run() {
    writeFileSync(live.path, database);
    for (const tariff of TARIFFS) oracle.tariff(tariff, FIRST_PRICE_TIYIN);
    start();
    for (let user = 1; user <= plan.users; user++) clients.register(user);
    const anyTime = () =>
      Math.round((chance.whole(0, plan.times) * plan.healthyFromMs) / plan.times);
    for (let n = 0; n < plan.acts; n++) scheduler.after(anyTime(), "a client acts", clients.act);
    for (const jumpMs of plan.clockJumpsMs) {
      scheduler.after(
        anyTime(),
        `the clock is set by ${jumpMs} ms`,
        () => (clockSetByMs += jumpMs),
      );
    }
    scheduler.after(anyTime(), "any time", () => pass("at any time"));
    await runUntil(plan.healthyFromMs);

    note("the world is healthy");
    isHealthy = true;
    await runUntilAnswered();
    clients.repeatAll();
    await runUntilAnswered();
    if (plan.endsWithStart && !oracle.isDone()) {
      kill("at any time");
      bury();
      await runUntil(scheduler.nowMs() + DONE_AFTER_START_MS, oracle.isDone);
    }
    const endMs = scheduler.nowMs() + (plan.endsWithStart ? 0 : DONE_MS);
    while (!oracle.isDone() && scheduler.nowMs() < endMs) {
      scheduler.sleep(SLEEP_MS);
      await runUntil(scheduler.nowMs() + LOOKS_MS, oracle.isDone);
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
  return { seed, wrongs: oracle.wrongs, trace, counts };
}

function readOrders(database: Database): Row[] {
  return database.query<Row, []>("SELECT * FROM orders ORDER BY id").all();
}

/** Lets the disk fail in this COMMIT: SQLite throws, and the log may have it all the same. */
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
