import { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { temporaryFolder } from "../test/support/process.ts";
import { benchBackup } from "./backup.ts";
import { benchBoard, benchViews } from "./board.ts";
import {
  type Contender,
  ENDPOINTS,
  FIRST_NUMBER,
  registerUsers,
  turn,
  USERS,
  WARM_UP_SECONDS,
} from "./contender.ts";
import { median, residentMb, spread } from "./statistics.ts";
import { LOADER, load, type Measure } from "./load.ts";
import { orderCost } from "./order-cost.ts";
import { benchPostgres } from "./postgres.ts";
import {
  type Peer,
  startFastApi,
  startFastify,
  startLimit,
  startWithoutGroupCommit,
  startService,
  startStage,
} from "./peers.ts";

// `bun run bench` compares the service with its upper limit and its peers, in alternating turns of
// one run. Machines are noisy, so only ratios of adjacent turns are meaningful.

const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 3);
const SECONDS = Number(process.env["BENCH_SECONDS"] ?? 2);
const TURNS = { rounds: ROUNDS, seconds: SECONDS };
const CONNECTIONS = [1, 8, 64, 256];

const MANY_ORDERS = Number(process.env["BENCH_ORDERS"] ?? 1_000_000);
const BURST = 2000;

using folder = temporaryFolder();
const database = (name: string) => join(folder.path, `${name}.db`);

console.log(
  `NMservis, ${cpus().length} cores of ${cpus()[0]?.model}, Bun ${Bun.version}, load by ${LOADER}, ` +
    `${ROUNDS} turns of ${SECONDS} s each`,
);
const parts = {
  cost: () => orderCost(database),
  stages,
  compare,
  lookUps,
  board: () => benchBoard(TURNS, database("board")),
  views: () => benchViews(TURNS, database("views")),
  postgres,
  costs,
  backup: () =>
    benchBackup({ rounds: ROUNDS, orders: MANY_ORDERS, databasePath: database("backup") }),
  burst,
};
const only = process.env["BENCH_ONLY"];
// By default, measures only the figure that must not grow, in under a minute.
const chosen = only ?? "cost";
for (const [name, part] of Object.entries(parts))
  if (chosen === "all" || chosen === name) await part();

/** Measures an order's time by stage: each stage's time minus that of the previous stage. */
async function stages() {
  const path: [string, Peer][] = [
    ["Elysia with the same schemas", await startLimit()],
    ["the guard", await startStage("guard")],
    ["the metrics", await startStage("observed")],
    ["the order's flow", await startStage("flow")],
    ["SQL in memory, group commit", await startStage("sql")],
    ["the disk", await startService(database("stages"))],
  ];
  const contenders = path.map(([name, peer]) => ({ name, peer, nextNumber: FIRST_NUMBER + USERS }));
  for (const contender of contenders) {
    await registerUsers(contender.peer.url);
    await turn(contender, "/create_order", 64, WARM_UP_SECONDS);
  }
  const rounds: number[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const micros = new Map<Contender, number>();
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const { perSecond } = await turn(contender, "/create_order", 64, SECONDS);
      micros.set(contender, 1e6 / perSecond);
    }
    rounds.push(contenders.map((contender) => micros.get(contender) ?? 0));
  }
  console.log("\nTime of an order by stage, 64 connections, µs (min … max):");
  for (const [at, { name, peer }] of contenders.entries()) {
    console.log(`  ${name}: ${spread(rounds.map((all) => (all[at] ?? 0) - (all[at - 1] ?? 0)))}`);
    await peer.end();
  }
  console.log(`  total: ${spread(rounds.map((all) => all.at(-1) ?? 0))}`);
}

/** Compares the service with each peer, at every endpoint and number of connections. */
async function compare() {
  const contenders = await startAll();
  const [service, limit, ...peers] = contenders;
  if (service === undefined || limit === undefined) return;
  const others = [limit, ...peers];
  // A contender is slower right after one that writes to disk. The service follows one that does
  // not write in forward rounds, and one that does in reverse rounds.
  const inTurn = [limit, service, ...peers];
  let orders = 0;
  console.log(
    "\n| endpoint | connections | requests/s | p50, p99 ms | against | ratio (min … max) |",
  );
  console.log("| --- | ---: | ---: | ---: | --- | ---: |");
  for (const endpoint of ENDPOINTS) {
    for (const connections of CONNECTIONS) {
      const turns = new Map<Contender, Measure[]>(contenders.map((each) => [each, []]));
      for (let round = 0; round < ROUNDS; round++) {
        for (const contender of round % 2 === 0 ? inTurn : inTurn.toReversed()) {
          const measure = await turn(contender, endpoint, connections, SECONDS);
          if (contender === service && endpoint !== "/register") orders += measure.requests;
          turns.get(contender)?.push(measure);
        }
      }
      const own = turns.get(service) ?? [];
      for (const other of others) {
        const ratios = own.map(
          ({ perSecond }, at) => perSecond / (turns.get(other)?.[at]?.perSecond ?? 1),
        );
        console.log(
          `| ${endpoint} | ${connections} | ${median(own.map((one) => one.perSecond)).toFixed(0)} ` +
            `| ${median(own.map((one) => one.p50Ms)).toFixed(1)}, ${median(own.map((one) => one.p99Ms)).toFixed(1)} ` +
            `| ${other.name} | ${spread(ratios)} |`,
        );
      }
    }
  }
  for (const { peer } of contenders) await peer.end();
  countRows(orders);
}

async function startAll(): Promise<Contender[]> {
  const contender = (name: string, peer: Peer): Contender => ({
    name,
    peer,
    nextNumber: FIRST_NUMBER + USERS,
  });
  const contenders = [
    contender("the service", await startService(database("service"))),
    contender("(a) the limit", await startLimit()),
    contender("(b) no group commit", await startWithoutGroupCommit(database("one"))),
  ];
  const fastApi = await startFastApi();
  if (fastApi === undefined)
    console.log("Left out: FastAPI is not installed (python3-fastapi, python3-uvicorn).");
  else contenders.push(contender("(c) FastAPI, without storage", fastApi));
  const fastify = await startFastify(database("fastify"));
  if (fastify === undefined)
    console.log("Left out: Fastify with better-sqlite3 could not be built here.");
  else contenders.push(contender("(d) Fastify, better-sqlite3", fastify));
  for (const { peer } of contenders) {
    await registerUsers(peer.url);
  }
  console.log(`Warming up ${contenders.length} contenders`);
  for (const contender of contenders) {
    // Warms up just-in-time compilers.
    for (const endpoint of ENDPOINTS) await turn(contender, endpoint, 64, WARM_UP_SECONDS);
  }
  return contenders;
}

/** Checks that every successful response has a paid order. */
function countRows(answered: number) {
  using file = new Database(database("service"), { readonly: true });
  const count = (where: string) =>
    file.query<{ n: number }, []>(`SELECT count(*) AS n FROM orders WHERE ${where}`).get()?.n ?? 0;
  const [paid, rest] = [count("status = 'paid'"), count("status <> 'paid' OR notified_at IS NULL")];
  console.log(
    `\nRows: ${paid} paid orders for ${answered} measured responses, ${rest} unpaid or not notified.`,
  );
  if (paid < answered || rest > 0) throw new Error("the rows do not match the responses");
}

/** Measures the cost of the lookup indexes: orders per second with and without them. */
async function lookUps() {
  const path = database("no lookups");
  // The service creates the database. Later starts do not check its indexes.
  await (await startService(path)).end();
  using file = new Database(path);
  file.run("DROP INDEX orders_idempotency_key");
  file.run(
    `CREATE UNIQUE INDEX orders_idempotency_key ON orders (user_id, idempotency_key)
     WHERE idempotency_key IS NOT NULL`,
  );
  file.run("DROP INDEX users_chat_id");
  file.close();
  const contenders = [
    { name: "with", peer: await startService(database("lookups")), nextNumber: 0 },
    { name: "without", peer: await startService(path), nextNumber: 0 },
  ];
  for (const contender of contenders) {
    await registerUsers(contender.peer.url);
    await turn(contender, "/create_order", 64, WARM_UP_SECONDS);
  }
  const ratios: number[] = [];
  for (let round = 0; round < 2 * ROUNDS; round++) {
    const perSecond = new Map<string, number>();
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const measure = await turn(contender, "/create_order", 64, SECONDS);
      perSecond.set(contender.name, measure.perSecond);
    }
    ratios.push((perSecond.get("with") ?? 0) / (perSecond.get("without") ?? 1));
  }
  console.log(`\nOrders/s with the lookup indexes relative to without them: ${spread(ratios)}`);
  for (const { peer } of contenders) await peer.end();
}

/** Measures instances on PostgreSQL. */
function postgres() {
  return benchPostgres({
    rounds: ROUNDS,
    seconds: SECONDS,
    warmUpSeconds: WARM_UP_SECONDS,
    sqlitePath: database("beside PostgreSQL"),
    registerUsers,
  });
}

/** Measures start time, memory and disk space. */
async function costs() {
  const path = database("costs");
  const first = await startService(path);
  const idleMb = residentMb(first);
  console.log(
    `\nStart to first response ${first.startMs.toFixed(0)} ms; idle memory ${idleMb} MB.`,
  );
  await registerUsers(first.url);
  let orders = 0;
  while (orders < MANY_ORDERS) {
    orders += (await load(first.url, "/create_order", 256, 5, USERS)).requests;
  }
  const after = residentMb(first);
  await first.end();
  const bytes = statSync(path).size / orders;
  console.log(
    `After ${orders} orders: ${after} MB of memory, ${bytes.toFixed(0)} bytes on disk per order.`,
  );
}

/**
 * Measures many orders at once, with the default payment delay of 1 s. The client sends 256 at a
 * time unless BUN_CONFIG_MAX_HTTP_REQUESTS is higher.
 */
async function burst() {
  const peer = await startService(database("burst"), { PAYMENT_STUB_DELAY_MS: "1000" });
  await registerUsers(peer.url);
  const startedAt = performance.now();
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, residentMb(peer));
  }, 20);
  const answers = await Promise.all(
    Array.from({ length: BURST }, async (_, at) => {
      const response = await fetch(`${peer.url}/create_order`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ user_id: (at % USERS) + 1, tariff_code: "standard_300" }),
      });
      return response.status;
    }),
  );
  clearInterval(watch);
  const seconds = (performance.now() - startedAt) / 1000;
  const paid = answers.filter((status) => status === 200).length;
  await peer.end();
  console.log(
    `${BURST} orders at once with a payment delay of 1 s: ${paid} paid, all answered within ` +
      `${seconds.toFixed(2)} s, ${peak} MB of peak memory.`,
  );
}
