import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder, WITHOUT_JIT } from "../../support/process.ts";
import { createRandom, seedOf } from "../../support/random.ts";
import { POLL_MS } from "../../../src/orders/worker.ts";
import { leaseEndsAt } from "../../../src/orders/retry-schedule.ts";
import type { KillPoint, Ordeal, Sabotage } from "./kill-points.ts";
import { type Entry, findOverlaps, readLedger } from "./ledger.ts";
import type { RunDatabase } from "./run-database.ts";

/** Customers who order at the same time. */
const CLIENTS = 8;

/** A charge that hangs is in doubt after this. */
const PAYMENT_TIMEOUT_MS = 150;

/** Where it is killed at any time, the process is killed within this. */
const ANY_TIME_MS = 200;

/**
 * A process that has not come to its point by now is killed all the same, and another one gets there. On a
 * busy machine the usual 100 ms may be seconds.
 */
const MAX_LIFE_MS = 10_000;

/** How many processes in a row may miss a point before there is none to be had. */
const MAX_MISSES = 5;

/** All that was begun ends long before this, or never. */
const MAX_END_MS = 30_000;

/** An answer that is lost on its way, and asked for once more. */
const LOST_ANSWER_RATE = 0.2;

/** What a run decides by itself, so that the same plan makes the same decisions. */
export interface KillPlan {
  readonly seed: number;
  /** Where the process dies, one after the other. */
  readonly points: readonly KillPoint[];
  /** A point is passed this often, at most, before the process dies there. */
  readonly maxPasses: number;
  /** The share of calls to the outside world that go wrong. */
  readonly faultRate: number;
  /** The share of orders that are declined. */
  readonly declineRate: number;
  /** How the service is broken in all its lives but the last. */
  readonly sabotage?: Sabotage;
  /** Copies that serve beside the one that is killed, until the last. */
  readonly bystanders?: number;
  /** What happens to the database once for so many kills, while the copies serve. */
  readonly disaster?: { readonly kills: number; readonly strike: () => Promise<void> };
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
  /** What is wrong afterwards; nothing, if the service keeps its promises. */
  readonly wrongs: string[];
}

/**
 * Kills the service once at each point of the plan, while clients order and retry with their keys; then
 * lets it finish in a world without faults, and compares what the clients were told, what the database
 * has, and what the provider and the dispatcher have in their ledger. `script` is the built victim.ts.
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
  const startVictim = (environment: Record<string, string>) =>
    start(processes, script, [], {
      DATABASE_URL: database.url,
      PORT: "0",
      WORLD_URL: world.line,
      SMS_PER_HOUR: "0",
      ORDERS_PER_USER_PER_HOUR: "0",
      ...environment,
    });

  // The database is there, and so is a customer for each client.
  const first = await startVictim({});
  const users = await Promise.all(
    Array.from({ length: CLIENTS }, (_, i) => register(first.line, i)),
  );
  await end(first.process);
  await prepareForgetting(database, plan.sabotage === "notify without recording it");

  const service: Service = { urls: [] };
  const answers: Answer[] = [];
  const ending = new AbortController();
  const clients = users.map((user) => orderUntil(ending.signal, service, user, plan.seed, answers));
  const random = createRandom(seedOf("kills", plan.seed));
  const kills = new Map<KillPoint, number>();

  const common = {
    SABOTAGE: plan.sabotage ?? "",
    // Where no call hangs, none is to be in doubt because the machine is busy.
    ...(plan.faultRate > 0 && { PAYMENT_TIMEOUT_MS: String(PAYMENT_TIMEOUT_MS) }),
  };
  const bystanders = await Promise.all(
    Array.from({ length: plan.bystanders ?? 0 }, () => startVictim(common)),
  );
  service.urls.push(...bystanders.map(({ line }) => line));

  /** Starts the service and sees it die: whether that was at the point. */
  async function killAt(
    point: KillPoint,
    passes: number,
    anyTimeMs: number,
    strike: (() => Promise<void>) | undefined,
  ): Promise<boolean> {
    const victim = await startVictim({
      KILL_AT: point,
      KILL_AFTER: String(passes),
      ...common,
    });
    service.urls.push(victim.line);
    // No copy can start while the server is away.
    const struck = strike?.();
    let inTime = true;
    const timer = setTimeout(
      () => {
        inTime = false;
        victim.process.kill("SIGKILL");
      },
      point === "at any time" ? anyTimeMs : MAX_LIFE_MS,
    );
    await victim.process.exited;
    clearTimeout(timer);
    await struck;
    service.urls = service.urls.filter((url) => url !== victim.line);
    const { signalCode, exitCode } = victim.process;
    if (signalCode !== "SIGKILL") throw new Error(`the service has ended by itself: ${exitCode}`);
    const where = inTime ? point : "at any time";
    kills.set(where, (kills.get(where) ?? 0) + 1);
    return where === point;
  }

  for (const [at, point] of plan.points.entries()) {
    const { kills: each = Number.POSITIVE_INFINITY, strike } = plan.disaster ?? {};
    let disaster = at % each === 1 ? strike : undefined;
    const passes = 1 + Math.floor(random() * plan.maxPasses);
    const anyTimeMs = random() * ANY_TIME_MS;
    for (let misses = 0; !(await killAt(point, passes, anyTimeMs, disaster)); misses++) {
      if (misses === MAX_MISSES) throw new Error(`nobody comes to pass "${point}" ${passes} times`);
      disaster = undefined;
    }
  }

  // From here on nothing fails: all that was begun comes to its end.
  await end(world.process);
  world = await startWorld(0);
  ending.abort();
  service.urls = [];
  await Promise.all(bystanders.map((bystander) => end(bystander.process)));
  await endPauses(database);
  const last = await startVictim({});
  service.urls = [last.line];
  await Promise.all(clients);
  await untilNothingIsDue(database);
  await end(last.process);
  return await report(database, ledgerPath, answers, kills);
}

/** How long sound copies go through their ordeal, and broken ones at most: until it shows. */
const ORDEAL_MS = 5500;
const MAX_ORDEAL_MS = 30_000;

/** How often something is done to them meanwhile. */
const ORDEAL_STEP_MS = 250;

/** The payment's time-out there, and how long each charge takes. The lease is a second longer. */
const ORDEAL_TIMEOUT_MS = 2300;
const ORDEAL_CHARGE_MS = 2000;

/**
 * Has two copies of `script` take orders while they go through the ordeal; then `soundScript` finishes all
 * orders. Returns the faults found then. Copies of a broken script end as soon as two have asked for
 * the money of one order.
 */
export async function runCopies(
  script: string,
  soundScript: string,
  database: RunDatabase,
  ordeal: Ordeal,
): Promise<readonly string[]> {
  using folder = temporaryFolder();
  await using processes = new AsyncDisposableStack();
  const ledgerPath = join(folder.path, "ledger");
  writeFileSync(ledgerPath, "");
  const world = await start(
    processes,
    join(import.meta.dir, "outside-world.ts"),
    [ledgerPath, 0, 0, 0, ORDEAL_CHARGE_MS],
    {},
  );
  const environment = {
    DATABASE_URL: database.url,
    PORT: "0",
    WORLD_URL: world.line,
    PAYMENT_TIMEOUT_MS: String(ORDEAL_TIMEOUT_MS),
    SMS_PER_HOUR: "0",
    ORDERS_PER_USER_PER_HOUR: "0",
  };
  const startCopy = () =>
    start(processes, script, [], {
      ...environment,
      ...(ordeal.holdOpenings && {
        HOLD_OPENINGS_MS: String(leaseEndsAt(0, ORDEAL_TIMEOUT_MS) + 100),
      }),
      ...(ordeal.holdClaims && { HOLD_CLAIMS_MS: String(POLL_MS + 100) }),
    });
  const copies = await Promise.all([startCopy(), startCopy()]);
  const service: Service = { urls: copies.map(({ line }) => line) };
  const [url = ""] = service.urls;
  const users = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => register(url, i)));
  await prepareForgetting(database, false);
  if (ordeal.dueOrders) await database.execute(DUE_ORDERS);
  const answers: Answer[] = [];
  const ending = new AbortController();
  const clients = users.map((user) => orderUntil(ending.signal, service, user, 0, answers));
  const isOver = (ms: number) =>
    script === soundScript
      ? ms >= ORDEAL_MS
      : ms >= MAX_ORDEAL_MS || findOverlaps(readLedger(ledgerPath)).length > 0;
  for (let ms = 0; !isOver(ms); ms += ORDEAL_STEP_MS) {
    await Bun.sleep(ORDEAL_STEP_MS);
    if (ordeal.cuts) await database.execute(CUT_CONNECTIONS);
    if (ordeal.restarts && ms % (4 * ORDEAL_STEP_MS) === 0) {
      const copy = copies.shift();
      if (copy !== undefined) await end(copy.process);
      copies.push(await startCopy());
      service.urls = copies.map(({ line }) => line);
    }
  }
  ending.abort();
  service.urls = [];
  await Promise.all(copies.map((copy) => end(copy.process)));
  await endPauses(database);
  const last = await start(processes, soundScript, [], { ...environment, PAYMENT_TIMEOUT_MS: "" });
  service.urls = [last.line];
  await Promise.all(clients);
  await untilNothingIsDue(database);
  await end(last.process);
  return (await report(database, ledgerPath, answers, new Map())).wrongs;
}

/** Orders of the first customer that are in doubt, and due since long ago. */
const DUE_ORDERS = `INSERT INTO orders (user_id, tariff_code, amount_tiyin, status, idempotency_key,
    payment_key, created_at, due_at, attempts, repeatable)
  SELECT 1, 'standard_300', 30000, 'pending', 'due-' || n, 'due-' || n, 0, 0, 1, false
  FROM generate_series(1, 30) AS n`;

/** Cuts all connections to the database but the one that asks for it. */
const CUT_CONNECTIONS = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid()`;

/**
 * Starts a script, which ends with the stack at the latest; resolves when it has printed its first line,
 * or has ended without one.
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
      // With a name of its own the request takes no random one, which the victim counts.
      "x-request-id": "client",
    },
    body: JSON.stringify(body),
  });
}

async function register(url: string, client: number): Promise<number> {
  const body = { phone_number: `+99890${1_000_000 + client}` };
  // `as`: the answer of the contract.
  const answer = (await (await post(`${url}/register`, body, "none")).json()) as {
    user_id: number;
  };
  return answer.user_id;
}

/** Where the service is served, by the copies that live. */
interface Service {
  urls: string[];
}

/** Orders again and again, each order until it is answered, under one key however often. */
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
    const anyCopy = () => service.urls[Math.floor(random() * service.urls.length)];
    while (!(await tryToOrder(anyCopy(), user, key, answers))) await Bun.sleep(5);
    if (random() < LOST_ANSWER_RATE) await tryToOrder(anyCopy(), user, key, answers);
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
    // `as`: the answer of the contract.
    const { order_id: orderId } = (await response.json()) as { order_id: number };
    // The database is away: nothing is said of the order.
    if (response.status >= 500) return false;
    answers.push({ key, status: response.status, orderId });
    return true;
  } catch {
    return false;
  }
}

/**
 * Makes a table of the notifications whose record the disk has taken and not kept, and such a disk, if it
 * is to be one.
 */
async function prepareForgetting(database: RunDatabase, forgets: boolean) {
  await database.execute("CREATE TABLE forgotten (order_id INTEGER PRIMARY KEY)");
  if (!forgets) return;
  await database.execute(
    `CREATE TRIGGER forget BEFORE UPDATE OF notified_at ON orders BEGIN
      INSERT OR IGNORE INTO forgotten VALUES (OLD.id);
      SELECT RAISE(IGNORE);
    END`,
  );
}

/** Nobody is at work any more: what is due later would only take its time. */
async function endPauses(database: RunDatabase) {
  await database.execute("UPDATE orders SET due_at = 0 WHERE due_at IS NOT NULL");
}

/** Resolves when nothing is due but what is due for ever, its record forgotten. */
async function untilNothingIsDue(database: RunDatabase) {
  const count = () =>
    database.query(
      `SELECT count(*) AS n FROM orders
       WHERE due_at IS NOT NULL AND id NOT IN (SELECT order_id FROM forgotten)`,
    );
  const end = performance.now() + MAX_END_MS;
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
  const wrongs: string[] = [];
  const expect = (holds: boolean, wrong: string) => void (holds || wrongs.push(wrong));

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
    expect(due_at === null, `order ${id} is ${status}, and still due`);
  }
  for (const id of [...charges.keys(), ...notified])
    expect(byId.has(id), `there is no order ${id}`);
  for (const { key, status, orderId } of answers) {
    const row = byId.get(orderId);
    expect(row !== undefined, `order ${orderId} was answered with ${status}, and is lost`);
    expect(row?.idempotency_key === key, `key ${key} was answered with order ${orderId}`);
    const promised = { 200: "paid", 202: row?.status, 402: "declined" }[status];
    expect(
      row?.status === promised,
      `order ${orderId} was answered with ${status}, and is ${row?.status}`,
    );
  }
  for (const key of new Set(answers.map(({ key }) => key))) {
    const orders = rows.filter((row) => row.idempotency_key === key).length;
    expect(orders === 1, `key ${key} has ${orders} orders`);
  }
  wrongs.push(...findOverlaps(ledger));
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
    wrongs,
  };
}
