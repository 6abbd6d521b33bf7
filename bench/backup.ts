import { Database } from "bun:sqlite";
import { join } from "node:path";
import { load } from "./load.ts";
import { type Peer, startService } from "./peers.ts";
import { spread } from "./statistics.ts";

// Measures the service with many closed orders: orders while all are backed up, and the start after
// a crash, which checks the database.

const USERS = 100_000;
const CONNECTIONS = 64;

export interface BackupBench {
  readonly rounds: number;
  readonly orders: number;
  readonly databasePath: string;
}

/** Prints the p99 of orders before and during a backup, and the time to start. */
export async function benchBackup({ rounds, orders, databasePath }: BackupBench): Promise<void> {
  await (await startService(databasePath)).end();
  fill(databasePath, orders);
  let service = await startService(databasePath);
  const closedMs = service.startMs;
  const p99s: { before: number; during: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = await p99Ms(service, 2);
    let isDone = false;
    const backup = backUp(databasePath, `${databasePath}.${round}`).then(() => (isDone = true));
    let during = 0;
    while (!isDone) during = Math.max(during, await p99Ms(service, 1));
    await backup;
    p99s.push({ before, during });
  }
  console.log(`\np99 of orders with ${orders} orders, ${CONNECTIONS} connections, ms:`);
  console.log(`  ${spread(p99s.map(({ before }) => before))}`);
  console.log(`  worst second of a backup: ${spread(p99s.map(({ during }) => during))}`);
  const crashedMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    process.kill(service.pid, "SIGKILL");
    await service.end();
    service = await startService(databasePath);
    crashedMs.push(service.startMs);
    await p99Ms(service, 1);
  }
  console.log(
    `Start to first response: ${closedMs.toFixed(0)} ms, after a kill: ${spread(crashedMs)}`,
  );
  await service.end();
}

async function p99Ms({ url }: Peer, seconds: number): Promise<number> {
  return (await load(url, "/create_order keyed", CONNECTIONS, seconds, USERS)).p99Ms;
}

async function backUp(databasePath: string, file: string): Promise<void> {
  const command = [process.execPath, join(import.meta.dir, "../src/main.ts"), "backup", file];
  const child = Bun.spawn(command, {
    env: { ...process.env, DATABASE_URL: `file:${databasePath}` },
    stdout: "ignore",
    stderr: "inherit",
  });
  if ((await child.exited) !== 0) throw new Error("the backup failed");
}

/** Adds users, and completed orders with random keys. */
function fill(path: string, orders: number): void {
  using database = new Database(path);
  // No service has confirmed these rows, so they may be lost.
  database.run("PRAGMA synchronous = OFF");
  const series = (count: number) =>
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;
  database.run(`${series(USERS)} INSERT INTO users (id, phone_number, created_at, sms_tried_at)
    SELECT i, '+9989' || (10000000 + i), 0, 0 FROM n`);
  // Building the index at the end is five times as fast.
  const index = database
    .query<{ sql: string }, []>(
      "SELECT sql FROM sqlite_schema WHERE name = 'orders_idempotency_key'",
    )
    .get();
  if (index === null) throw new Error("the index has another name");
  database.run("DROP INDEX orders_idempotency_key");
  database.run(`${series(orders)} INSERT INTO orders
    (user_id, tariff_code, amount_tiyin, status, idempotency_key, payment_key, created_at, settled_at,
      notified_at, attempts, repeatable, stage, stage_at)
    SELECT 1 + abs(random()) % ${USERS}, 'standard_300', 30000, 'paid', lower(hex(randomblob(18))),
      lower(hex(randomblob(18))), t, t, t, 1, 0, 'completed', t
    FROM (SELECT 1600000000000 + i * 10 AS t FROM n)`);
  database.run(index.sql);
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
}
