import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder, WITHOUT_JIT } from "../../support/process.ts";
import { createRandom, seedOf } from "../../support/random.ts";
import { POLL_MS } from "../../../src/orders/worker.ts";
import { leaseEndsAt } from "../../../src/orders/retry-schedule.ts";
import type { KillPoint, Faults, Sabotage } from "./kill-points.ts";
import { type Entry, findOverlaps, readLedger } from "./ledger.ts";
import type { RunDatabase } from "./run-database.ts";

/** Concurrent customers. */
const CLIENTS = 8;

const PAYMENT_TIMEOUT_MS = 150;

/** Kills "at any time" happen within this time after the start. */
const ANY_TIME_MS = 200;

/**
 * A process that has not reached its kill point by now is killed and replaced. Reaching it usually
 * takes 100 ms, on a busy machine seconds.
 */
const MAX_LIFE_MS = 10_000;

/** A run fails if more than this many processes in a row miss their kill point. */
const MAX_MISSES = 5;

/** Generous: orders either finish long before this or never. */
const MAX_FINISH_MS = 30_000;

/** The share of answered requests that the client repeats, as if the answer were lost. */
const LOST_ANSWER_RATE = 0.2;

/** The parameters of a run. The same plan makes the same random decisions. */
export interface KillPlan {
  readonly seed: number;
  /** The kill point of each process, in order. */
  readonly points: readonly KillPoint[];
  /** A process is killed after reaching its point between 1 and this many times. */
  readonly maxHits: number;
  /** The share of calls to the outside world that fail. */
  readonly faultRate: number;
  /** The share of orders that are declined. */
  readonly declineRate: number;
  /** The sabotage that breaks all processes but the last. */
  readonly sabotage?: Sabotage;
  /** The number of instances that run alongside the killed one and survive. */
  readonly otherInstances?: number;
  /** Crashes the database once per `killsPerCrash` kills, while the instances run. */
  readonly databaseCrash?: { readonly killsPerCrash: number; readonly run: () => Promise<void> };
}

interface Answer {
  readonly key: string;
  readonly status: number;
  readonly orderId: number;
}

export interface KillReport {
  readonly kills: ReadonlyMap<KillPoint, number>;
  readonly orders: number;
  readonly answers: number;
  readonly charges: number;
  readonly notifications: number;
  /** Broken promises; empty if the service works. */
  readonly violations: string[];
}

/**
 * Kills the service once at each point of the plan while clients order and retry with their keys.
 * Then lets it finish without faults and compares the clients' answers, the database, and the
 * ledger of the provider and the dispatcher. `script` is the built service-under-test.ts.
 */
export async function killRepeatedly(
  script: string,
  database: RunDatabase,
  plan: KillPlan,
): Promise<KillReport> {
  using folder = temporaryFolder();
  await using processes = new AsyncDisposableStack();
  const ledgerPath = join(folder.path, "ledger");
  writeFileSync(ledgerPath, "");
  const startWorld = (faultRate: number) =>
    start(
      processes,
      join(import.meta.dir, "outside-world.ts"),
      [ledgerPath, plan.seed, faultRate, plan.declineRate],
      {},
    );
  let world = await startWorld(plan.faultRate);
  const startService = (environment: Record<string, string>) =>
    start(processes, script, [], {
      DATABASE_URL: database.url,
      PORT: "0",
      WORLD_URL: world.line,
      SMS_PER_HOUR: "0",
      ORDERS_PER_USER_PER_HOUR: "0",
      ...environment,
    });

  // Creates the database and one customer per client.
  const first = await startService({});
  const users = await Promise.all(
    Array.from({ length: CLIENTS }, (_, i) => register(first.line, i)),
  );
  await end(first.process);
  await prepareDroppedRecords(database, plan.sabotage === "notify without recording it");

  const service: Service = { urls: [] };
  const answers: Answer[] = [];
  const ending = new AbortController();
  const clients = users.map((user) => orderUntil(ending.signal, service, user, plan.seed, answers));
  const random = createRandom(seedOf("kills", plan.seed));
  const kills = new Map<KillPoint, number>();

  const common = {
    SABOTAGE: plan.sabotage ?? "",
    // Without faults no call hangs. The default timeout avoids payments in doubt on a busy machine.
    ...(plan.faultRate > 0 && { PAYMENT_TIMEOUT_MS: String(PAYMENT_TIMEOUT_MS) }),
  };
  const otherInstances = await Promise.all(
    Array.from({ length: plan.otherInstances ?? 0 }, () => startService(common)),
  );
  service.urls.push(...otherInstances.map(({ line }) => line));

  /** Starts the service and waits until it dies. Returns whether it died at the point. */
  async function killAt(
    point: KillPoint,
    hits: number,
    anyTimeMs: number,
    crashDatabase: (() => Promise<void>) | undefined,
  ): Promise<boolean> {
    const killed = await startService({
      KILL_AT: point,
      KILL_AFTER: String(hits),
      ...common,
    });
    service.urls.push(killed.line);
    // Only now, because no instance can start while the database is down.
    const crash = crashDatabase?.();
    let inTime = true;
    const timer = setTimeout(
      () => {
        inTime = false;
        killed.process.kill("SIGKILL");
      },
      point === "at any time" ? anyTimeMs : MAX_LIFE_MS,
    );
    await killed.process.exited;
    clearTimeout(timer);
    await crash;
    service.urls = service.urls.filter((url) => url !== killed.line);
    const { signalCode, exitCode } = killed.process;
    if (signalCode !== "SIGKILL") throw new Error(`the service exited with status ${exitCode}`);
    const where = inTime ? point : "at any time";
    kills.set(where, (kills.get(where) ?? 0) + 1);
    return where === point;
  }

  for (const [at, point] of plan.points.entries()) {
    const { killsPerCrash = Number.POSITIVE_INFINITY, run } = plan.databaseCrash ?? {};
    let crashDatabase = at % killsPerCrash === 1 ? run : undefined;
    const hits = 1 + Math.floor(random() * plan.maxHits);
    const anyTimeMs = random() * ANY_TIME_MS;
    for (let misses = 0; !(await killAt(point, hits, anyTimeMs, crashDatabase)); misses++) {
      if (misses === MAX_MISSES)
        throw new Error(`${MAX_MISSES + 1} processes did not reach "${point}" ${hits} times`);
      crashDatabase = undefined;
    }
  }

  // From here on nothing fails, so every order finishes.
  await end(world.process);
  world = await startWorld(0);
  ending.abort();
  service.urls = [];
  await Promise.all(otherInstances.map((instance) => end(instance.process)));
  await makeAllDue(database);
  const last = await startService({});
  service.urls = [last.line];
  await Promise.all(clients);
  await waitUntilNothingIsDue(database);
  await end(last.process);
  return await report(database, ledgerPath, answers, kills);
}

/** How long intact instances run. Broken ones run until a violation, at most MAX_BROKEN_RUN_MS. */
const SOUND_RUN_MS = 5500;
const MAX_BROKEN_RUN_MS = 30_000;

const FAULT_INTERVAL_MS = 250;

/** The instances' payment timeout, and how long a charge takes. A lease is 1 s longer. */
const INSTANCES_TIMEOUT_MS = 2300;
const INSTANCES_CHARGE_MS = 2000;

/**
 * Runs two instances of `script` under the faults, then lets `soundScript` finish all orders.
 * Returns the violations. Stops a broken script at the first order with concurrent charges.
 */
export async function runInstances(
  script: string,
  soundScript: string,
  database: RunDatabase,
  faults: Faults,
): Promise<readonly string[]> {
  using folder = temporaryFolder();
  await using processes = new AsyncDisposableStack();
  const ledgerPath = join(folder.path, "ledger");
  writeFileSync(ledgerPath, "");
  const world = await start(
    processes,
    join(import.meta.dir, "outside-world.ts"),
    [ledgerPath, 0, 0, 0, INSTANCES_CHARGE_MS],
    {},
  );
  const environment = {
    DATABASE_URL: database.url,
    PORT: "0",
    WORLD_URL: world.line,
    PAYMENT_TIMEOUT_MS: String(INSTANCES_TIMEOUT_MS),
    SMS_PER_HOUR: "0",
    ORDERS_PER_USER_PER_HOUR: "0",
  };
  const startInstance = () =>
    start(processes, script, [], {
      ...environment,
      ...(faults.holdInserts && {
        HOLD_INSERTS_MS: String(leaseEndsAt(0, INSTANCES_TIMEOUT_MS) + 100),
      }),
      ...(faults.holdClaims && { HOLD_CLAIMS_MS: String(POLL_MS + 100) }),
    });
  const instances = await Promise.all([startInstance(), startInstance()]);
  const service: Service = { urls: instances.map(({ line }) => line) };
  const [url = ""] = service.urls;
  const users = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => register(url, i)));
  await prepareDroppedRecords(database, false);
  if (faults.dueOrders) await database.execute(DUE_ORDERS);
  const answers: Answer[] = [];
  const ending = new AbortController();
  const clients = users.map((user) => orderUntil(ending.signal, service, user, 0, answers));
  const isOver = (ms: number) =>
    script === soundScript
      ? ms >= SOUND_RUN_MS
      : ms >= MAX_BROKEN_RUN_MS || findOverlaps(readLedger(ledgerPath)).length > 0;
  for (let ms = 0; !isOver(ms); ms += FAULT_INTERVAL_MS) {
    await Bun.sleep(FAULT_INTERVAL_MS);
    if (faults.cuts) await database.execute(CUT_CONNECTIONS);
    if (faults.restarts && ms % (4 * FAULT_INTERVAL_MS) === 0) {
      const instance = instances.shift();
      if (instance !== undefined) await end(instance.process);
      instances.push(await startInstance());
      service.urls = instances.map(({ line }) => line);
    }
  }
  ending.abort();
  service.urls = [];
  await Promise.all(instances.map((instance) => end(instance.process)));
  await makeAllDue(database);
  const last = await start(processes, soundScript, [], { ...environment, PAYMENT_TIMEOUT_MS: "" });
  service.urls = [last.line];
  await Promise.all(clients);
  await waitUntilNothingIsDue(database);
  await end(last.process);
  return (await report(database, ledgerPath, answers, new Map())).violations;
}

/** Inserts long overdue orders in doubt for the first customer. */
const DUE_ORDERS = `INSERT INTO orders (user_id, tariff_code, amount_tiyin, status, idempotency_key,
    payment_key, created_at, due_at, attempts, repeatable)
  SELECT 1, 'standard_300', 30000, 'pending', 'due-' || n, 'due-' || n, 0, 0, 1, false
  FROM generate_series(1, 30) AS n`;

/** Cuts every other connection to the database. */
const CUT_CONNECTIONS = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid()`;

/**
 * Starts a script, which is killed when `processes` is disposed of. Resolves when it has printed
 * its first line or exited.
 */
async function start(
  processes: AsyncDisposableStack,
  script: string,
  args: unknown[],
  environment: Record<string, string>,
) {
  const child = processes.use(
    Bun.spawn([process.execPath, script, ...args.map(String)], {
      env: { ...process.env, ...WITHOUT_JIT, ...environment },
      stdout: "pipe",
      stderr: "inherit",
    }),
  );
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  return { process: child, line: value.trim() };
}

async function end(child: Bun.Subprocess) {
  child.kill("SIGKILL");
  await child.exited;
}

async function post(url: string, body: object, key: string): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "idempotency-key": key,
      // Keeps the service from calling `randomId`, which is a kill point.
      "x-request-id": "client",
    },
    body: JSON.stringify(body),
  });
}

async function register(url: string, client: number): Promise<number> {
  const body = { phone_number: `+99890${1_000_000 + client}` };
  // `as`: the contract's response body.
  const answer = (await (await post(`${url}/register`, body, "none")).json()) as {
    user_id: number;
  };
  return answer.user_id;
}

/** The URLs of the running instances. */
interface Service {
  urls: string[];
}

/** Places orders until aborted; repeats each one with its key until it is answered. */
async function orderUntil(
  ending: AbortSignal,
  service: Readonly<Service>,
  user: number,
  seed: number,
  answers: Answer[],
) {
  const random = createRandom(seedOf(`client ${user}`, seed));
  for (let order = 1; !ending.aborted; order++) {
    const key = `${user}-${order}`;
    const anyInstance = () => service.urls[Math.floor(random() * service.urls.length)];
    while (!(await tryToOrder(anyInstance(), user, key, answers))) await Bun.sleep(5);
    if (random() < LOST_ANSWER_RATE) await tryToOrder(anyInstance(), user, key, answers);
  }
}

async function tryToOrder(url: string | undefined, user: number, key: string, answers: Answer[]) {
  if (url === undefined) return false;
  try {
    const response = await post(
      `${url}/create_order`,
      { user_id: user, tariff_code: "standard_300" },
      key,
    );
    // `as`: the contract's response body.
    const { order_id: orderId } = (await response.json()) as { order_id: number };
    // The database is down: the outcome is unknown.
    if (response.status >= 500) return false;
    answers.push({ key, status: response.status, orderId });
    return true;
  } catch {
    return false;
  }
}

/**
 * Creates a table for the ids of orders whose notification record was dropped and, if `drops`, a
 * trigger that drops those records.
 */
async function prepareDroppedRecords(database: RunDatabase, drops: boolean) {
  await database.execute("CREATE TABLE dropped_records (order_id INTEGER PRIMARY KEY)");
  if (!drops) return;
  await database.execute(
    `CREATE TRIGGER drop_record BEFORE UPDATE OF notified_at ON orders BEGIN
      INSERT OR IGNORE INTO dropped_records VALUES (OLD.id);
      SELECT RAISE(IGNORE);
    END`,
  );
}

/** Makes waiting orders due now, to save time. Call while no process works on them. */
async function makeAllDue(database: RunDatabase) {
  await database.execute("UPDATE orders SET due_at = 0 WHERE due_at IS NOT NULL");
}

/** Resolves when no order is due, except those whose notification record is always dropped. */
async function waitUntilNothingIsDue(database: RunDatabase) {
  const count = () =>
    database.query(
      `SELECT count(*) AS n FROM orders
       WHERE due_at IS NOT NULL AND id NOT IN (SELECT order_id FROM dropped_records)`,
    );
  const end = performance.now() + MAX_FINISH_MS;
  while (performance.now() < end && Number((await count())[0]?.["n"]) !== 0) await Bun.sleep(20);
}

async function report(
  database: RunDatabase,
  ledgerPath: string,
  answers: Answer[],
  kills: ReadonlyMap<KillPoint, number>,
): Promise<KillReport> {
  const orders = await database.query("SELECT id, status, idempotency_key, due_at FROM orders");
  const rows = orders.map((row) => ({
    id: Number(row["id"]),
    status: String(row["status"]),
    idempotency_key: row["idempotency_key"],
    due_at: row["due_at"],
  }));
  const byId = new Map(rows.map((row) => [row.id, row]));
  const ledger = readLedger(ledgerPath);
  const ordersOf = (wanted: Entry["kind"]) =>
    ledger.flatMap((entry) => (entry.kind === wanted && "orderId" in entry ? [entry.orderId] : []));
  const charges = Map.groupBy(ordersOf("paid"), (orderId) => orderId);
  const notified = new Set(ordersOf("notified"));
  const violations: string[] = [];
  const expect = (holds: boolean, violation: string) => void (holds || violations.push(violation));

  for (const { id, status, due_at } of rows) {
    const taken = charges.get(id)?.length ?? 0;
    expect(
      taken === (status === "paid" ? 1 : 0),
      `order ${id} is ${status}, charged ${taken} times`,
    );
    expect(
      notified.has(id) === (status === "paid"),
      `order ${id} is ${status}, notified: ${notified.has(id)}`,
    );
    expect(due_at === null, `order ${id} is ${status} but still due`);
  }
  for (const id of [...charges.keys(), ...notified])
    expect(byId.has(id), `order ${id} was charged or notified but does not exist`);
  for (const { key, status, orderId } of answers) {
    const row = byId.get(orderId);
    expect(row !== undefined, `order ${orderId} was answered with ${status} but is lost`);
    expect(row?.idempotency_key === key, `key ${key} was answered with foreign order ${orderId}`);
    const promised = { 200: "paid", 202: row?.status, 402: "declined" }[status];
    expect(
      row?.status === promised,
      `order ${orderId} was answered with ${status} but is ${row?.status}`,
    );
  }
  for (const key of new Set(answers.map(({ key }) => key))) {
    const orders = rows.filter((row) => row.idempotency_key === key).length;
    expect(orders === 1, `key ${key} has ${orders} orders`);
  }
  violations.push(...findOverlaps(ledger));
  if (database.url.startsWith("file:")) {
    const [check] = await database.query("PRAGMA integrity_check");
    expect(check?.["integrity_check"] === "ok", `the database is corrupt: ${Bun.inspect(check)}`);
  }

  return {
    kills,
    orders: rows.length,
    answers: answers.length,
    charges: ordersOf("paid").length,
    notifications: ordersOf("notified").length,
    violations,
  };
}
