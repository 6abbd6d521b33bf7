import { Database } from "bun:sqlite";

// Runs SQLite's part of an order without HTTP: insert, settle and notify, with 32 orders per
// transaction, like the service's group commit. Arguments: database, "keyed" or "keyless", users.
// Prints the CPU time per order in µs.

const [, , path = "", load, users] = process.argv;
const SECONDS = 1.5;
const BATCH = 32;

const database = new Database(path, { strict: true });
database.run("PRAGMA journal_mode = WAL");
database.run("PRAGMA synchronous = FULL");
database.run("PRAGMA foreign_keys = ON");

const insert = database.prepare<[number], Record<string, string | number>>(`
  INSERT INTO orders (user_id, tariff_code, amount_tiyin, status, idempotency_key, payment_key, created_at,
    due_at, attempts, repeatable)
  SELECT users.id, tariffs.code, tariffs.price_tiyin, 'pending', o.value->>2, o.value->>3, $now, $due, 1, 0
  FROM json_each($orders) AS o CROSS JOIN users CROSS JOIN tariffs
  WHERE users.id = CAST(o.value->>0 AS bigint) AND tariffs.code = o.value->>1
  ON CONFLICT DO NOTHING
  RETURNING id, amount_tiyin, (SELECT phone_number FROM users WHERE users.id = orders.user_id)`);
const settle = database.prepare(`
  UPDATE orders SET status = 'paid', settled_at = $now, due_at = $due, attempts = 1, stage = 'new', stage_at = $now
  WHERE id IN (SELECT value FROM json_each($ids)) AND status = 'pending' RETURNING id`);
const notify = database.prepare(`
  UPDATE orders SET notified_at = $now, due_at = NULL
  WHERE id IN (SELECT value FROM json_each($ids)) AND status = 'paid'`);

let inserted: unknown[] = [];
let settled: unknown[] = [];
let turn = 0;
let orders = 0;
const startedAt = performance.now();
const before = process.cpuUsage();
while (performance.now() - startedAt < SECONDS * 1000) {
  const now = Date.now();
  const due = now + 9000;
  const batch = Array.from({ length: BATCH }, (): [number, ...unknown[]] => {
    const at =
      load === "keyed" ? Math.floor(Math.random() * Number(users)) : turn++ % Number(users);
    return [
      at + 1,
      "standard_300",
      load === "keyed" ? crypto.randomUUID() : null,
      crypto.randomUUID(),
    ];
  }).toSorted(([a], [b]) => a - b);
  database.run("BEGIN IMMEDIATE");
  const rows = insert.values({ now, due, orders: JSON.stringify(batch) });
  settle.values({ now, due, ids: JSON.stringify(inserted) });
  notify.run({ now, ids: JSON.stringify(settled) });
  database.run("COMMIT");
  settled = inserted;
  inserted = rows.map(([id]) => id);
  orders += rows.length;
}
const { user, system } = process.cpuUsage(before);
console.log((user + system) / orders);
