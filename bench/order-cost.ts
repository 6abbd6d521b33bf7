import { Database } from "bun:sqlite";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { median } from "./statistics.ts";
import { LOADER, load, type OrderLoad } from "./load.ts";
import { type Peer, startLimit, startService } from "./peers.ts";

// Measures the CPU time per order of the whole service and, in the same run, of its two engines
// alone: the same Elysia route without a store, and the same SQLite statements without HTTP.

const USERS = { keyless: 1_000, keyed: 100_000 } as const;
const CONNECTIONS = 64;
const ROUNDS = 3;
const SECONDS = 2;

/** Linux counts CPU time in ticks of 10 ms. */
const TICK_US = 10_000;

interface Cost {
  readonly cpuUs: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly bytes: number;
}

/** Prints a table row per load. The second is realistic, because bots send keys. Needs Linux. */
export async function orderCost(database: (name: string) => string): Promise<void> {
  console.log(`\nCPU time of an order, ${CONNECTIONS} connections, load by ${LOADER}:\n`);
  console.log(
    "| load | service | Elysia + SQLite | ratio | orders/s | p50, p99 ms | bytes written |",
  );
  console.log("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
  for (const name of ["keyless", "keyed"] as const) await compare(name, database);
}

async function compare(name: OrderLoad, database: (name: string) => string) {
  const path = database(`cost-${name}`);
  await (await startService(path)).end();
  addUsers(path, USERS[name]);
  const alone = database(`cost-${name}-alone`);
  await Bun.write(alone, Bun.file(path));
  const service = await startService(path);
  const elysia = await startLimit();
  const rounds: { service: Cost; elysia: Cost; sqliteUs: number }[] = [];
  try {
    for (const peer of [service, elysia]) await measure(peer, name);
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push({
        service: await measure(service, name),
        elysia: await measure(elysia, name),
        sqliteUs: await sqliteAlone(alone, name),
      });
    }
  } finally {
    await service.end();
    await elysia.end();
  }
  const middle = (read: (round: (typeof rounds)[number]) => number) => median(rounds.map(read));
  const [cpuUs, elysiaUs, sqliteUs] = [
    middle((round) => round.service.cpuUs),
    middle((round) => round.elysia.cpuUs),
    middle((round) => round.sqliteUs),
  ];
  console.log(
    `| ${name} | ${cpuUs.toFixed(1)} µs | ${elysiaUs.toFixed(1)} + ${sqliteUs.toFixed(1)} µs ` +
      `| ${(cpuUs / (elysiaUs + sqliteUs)).toFixed(2)} ` +
      `| ${middle((round) => round.service.perSecond).toFixed(0)} ` +
      `| ${middle((round) => round.service.p50Ms).toFixed(1)}, ${middle((round) => round.service.p99Ms).toFixed(1)} ` +
      `| ${middle((round) => round.service.bytes).toFixed(0)} |`,
  );
}

async function measure({ url, pid }: Peer, name: OrderLoad): Promise<Cost> {
  const [cpuBefore, bytesBefore] = [cpuUsOf(pid), bytesWrittenBy(pid)];
  const { requests, ...figures } = await load(
    url,
    name === "keyed" ? "/create_order keyed" : "/create_order",
    CONNECTIONS,
    SECONDS,
    USERS[name],
  );
  return {
    ...figures,
    cpuUs: (cpuUsOf(pid) - cpuBefore) / requests,
    bytes: (bytesWrittenBy(pid) - bytesBefore) / requests,
  };
}

/** Returns the CPU time of one order's statements in µs, measured in a separate process. */
async function sqliteAlone(path: string, name: OrderLoad): Promise<number> {
  const script = join(import.meta.dir, "sqlite-alone.ts");
  const child = Bun.spawn([process.execPath, script, path, name, String(USERS[name])], {
    stdout: "pipe",
    stderr: "inherit",
  });
  return Number(await child.stdout.text());
}

function addUsers(path: string, count: number) {
  using database = new Database(path);
  database.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
     INSERT INTO users (id, phone_number, created_at, sms_tried_at)
     SELECT i, '+9989' || (10000000 + i), 0, 0 FROM n`,
    [count],
  );
}

function cpuUsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  // User and system time: the 14th and 15th fields of the line.
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

function bytesWrittenBy(pid: number): number {
  return Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
}
