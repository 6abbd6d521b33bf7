import { Database } from "bun:sqlite";
import { join } from "node:path";
import { openStore } from "../test/support/store.ts";
import { temporaryFolder } from "../test/support/process.ts";
import { residentMb, spread } from "./statistics.ts";
import { load, type Measure } from "./load.ts";
import { type Peer, startService } from "./peers.ts";

// `bun run bench:growth` compares the service with ten million orders to the service with none.

const ORDERS = Number(process.env["GROWTH_ORDERS"] ?? 10_000_000);
const USERS = Number(process.env["GROWTH_USERS"] ?? 1_000_000);
const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 5);
const SECONDS = Number(process.env["BENCH_SECONDS"] ?? 3);

/** Smaller numbers are the payment stub's test numbers. */
const FIRST_NUMBER = 10;

/** Rows per statement: enough to be fast, few enough to report progress. */
const CHUNK = 1_000_000;

using folder = temporaryFolder();
const full = join(folder.path, "full.db");
const empty = join(folder.path, "empty.db");

await fill(full, USERS, ORDERS);
await fill(empty, USERS, 0);
const [large, small] = [await startService(full), await startService(empty)];
console.log(
  `Start to first response: ${large.startMs.toFixed(0)} ms, empty ${small.startMs.toFixed(0)} ms.`,
);
await turn(large);
await turn(small);
const pairs: [Measure, Measure][] = [];
for (let round = 0; round < ROUNDS; round++) pairs.push([await turn(large), await turn(small)]);
const throughput = pairs.map(([one, other]) => one.perSecond / other.perSecond);
const p99 = pairs.map(([one, other]) => one.p99Ms / other.p99Ms);
console.log(`/create_order at 64 connections, ${ORDERS} orders relative to an empty database:`);
console.log(`  requests/s ${spread(throughput)}, p99 ${spread(p99)}`);
console.log(`  memory ${residentMb(large)} MB, empty ${residentMb(small)} MB`);
await large.end();
await small.end();

async function turn({ url }: Peer): Promise<Measure> {
  return load(url, "/create_order", 64, SECONDS, USERS);
}

/** Fills a database with users and their completed orders. */
async function fill(path: string, users: number, orders: number) {
  await openStore(path).close();
  using database = new Database(path);
  // Generated rows need not be durable.
  database.run("PRAGMA synchronous = OFF");
  const series = (rows: number, from: number) =>
    `WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i < ${from + rows - 1})`;
  for (let from = 1; from <= users; from += CHUNK) {
    database.run(
      `${series(Math.min(CHUNK, users - from + 1), from)} INSERT INTO users (phone_number, created_at, sms_tried_at)
       SELECT '+9989' || printf('%08d', i + ${FIRST_NUMBER}), i, i FROM n`,
    );
  }
  for (let from = 1; from <= orders; from += CHUNK) {
    const startedAt = performance.now();
    database.run(
      `${series(Math.min(CHUNK, orders - from + 1), from)} INSERT INTO orders
         (user_id, tariff_code, amount_tiyin, status, payment_key, created_at, settled_at, notified_at, attempts, repeatable, stage, stage_at)
       SELECT (i * 7919) % ${users} + 1, 'standard_300', 30000, 'paid', lower(hex(randomblob(16))) || 'abcd',
         1600000000000 + i * 10, 1600000000000 + i * 10, 1600000000000 + i * 10, 1, 0, 'completed', 1600000000000 + i * 10 FROM n`,
    );
    const seconds = (performance.now() - startedAt) / 1000;
    console.log(
      `Filled ${Math.min(from + CHUNK - 1, orders)} of ${orders} orders (${seconds.toFixed(1)} s)`,
    );
  }
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
}
