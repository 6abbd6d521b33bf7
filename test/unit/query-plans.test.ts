import { Database } from "bun:sqlite";
import { expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import { readMigrationFiles } from "drizzle-orm/migrator";
import { boardVersion } from "../../src/board/board-queries.ts";
import { createSignInLinks } from "../../src/board/sign-in.ts";
import { createOrderProcessing } from "../../src/orders/orders.ts";
import { createService } from "../support/service.ts";

const MIGRATIONS = join(import.meta.dir, "../../drizzle/sqlite");

const MINUTE_MS = 60_000;

test("no query of a request or a worker scans a table", async () => {
  const prepare = spyOn(Database.prototype, "prepare");
  const queries = new Set<string>();
  try {
    const { register, userId, order, get, put, world, app, resume, dependencies } = createService();
    const user = await userId();
    await register("+998901234567", { chat_id: 1 });
    world.charge = () => Promise.reject(new Error("502"));
    await order(user);
    await order(user);
    await order(user, { "idempotency-key": "a" });
    await order(user, { "idempotency-key": "a" });
    await order(99);
    await get("/orders/1");
    await get("/users?chat_id=1");
    await get("/users?phone_number=901234567");
    await get("/users/1/orders?before=9&limit=5");
    await get("/users/2/orders");
    await get("/health");
    await get("/metrics");
    const board = async (path: string, form?: string) => {
      const headers = { host: "localhost", "sec-fetch-site": "same-origin" };
      const type = { "content-type": "application/x-www-form-urlencoded" };
      const init = form === undefined ? { headers } : { method: "POST", body: form };
      await app.http.handle(
        new Request(`http://localhost/board${path}`, { ...init, headers: { ...headers, ...type } }),
      );
    };
    await put("/tariffs/gold", { title: "Gold", price_tiyin: 1 });
    await resume();
    world.charge = async () => "paid";
    world.nowMs += MINUTE_MS;
    await app.workers.charge.runOnce();
    await app.idle();
    world.nowMs += MINUTE_MS;
    await app.workers.notify.runOnce();
    for (const path of ["", "?done=1", "/days", "/days?stage=new", "/orders/1", "/search?q=4567"]) {
      await board(path);
    }
    await board("/search?q=901234567");
    await board("/orders/1/phone", "");
    await board("/orders/1/accept", "seen=new");
    await board("/orders/1/cancel", "seen=accepted&reason=area&owed=yes");
    await board("/orders/1/refund", "seen=cancelled&reference=r");
    const gold = await order(user, {}, "gold");
    await board(`/orders/${gold.body["order_id"]}/cancel`, "seen=new&reason=area&owed=yes");
    await order(user, {}, "gold");
    const links = createSignInLinks([], dependencies.store, dependencies.now);
    await links.use("QXppemE.1.x", "nonce");
    await links.isUsedElsewhere("QXppemE.1.x", "nonce");
    await dependencies.store.read((tx) => boardVersion(tx));
    const webhook = { send: async () => {} };
    const withWebhook = createOrderProcessing(
      { ...dependencies, webhook },
      new AbortController().signal,
    );
    await withWebhook.workers.events.runOnce();
    await withWebhook.workers.events.idle();
    world.nowMs += 60 * MINUTE_MS;
    await order(user);
    for (const [sql] of prepare.mock.calls) {
      if (/^(select|insert|update|delete)/i.test(sql)) queries.add(sql);
    }
  } finally {
    prepare.mockRestore();
  }
  // For a DELETE, SQLite scans the tables that reference the row, which no plan shows.
  expect(Array.from(queries).filter((sql) => /^delete/i.test(sql))).toEqual([]);
  // More than a dozen: the queries of the modules, and the migrator's on start.
  expect(queries.size).toBeGreaterThan(12);

  using database = new Database(":memory:");
  for (const { sql } of readMigrationFiles({ migrationsFolder: MIGRATIONS })) {
    for (const statement of sql) database.run(statement);
  }
  const planLines = Array.from(queries).flatMap((sql) => {
    if (sql.includes("__drizzle_migrations") || sql.includes("sqlite_master")) return [];
    const plan = database.query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`).all();
    return plan.map(({ detail }) => `${detail}: ${sql}`);
  });
  const scans = planLines.filter(
    (line) =>
      /^SCAN (?!.*VIRTUAL TABLE)/.test(line) &&
      !line.includes("CONSTANT ROW") &&
      // Subqueries with one row, or that count up to a limit.
      !/^SCAN (one|counted):/.test(line) &&
      // This index has only due orders, and all are counted.
      !line.startsWith("SCAN orders USING INDEX orders_due:") &&
      // This index has only owed refunds, oldest first.
      !line.startsWith("SCAN orders USING INDEX orders_refund:") &&
      !line.startsWith("SCAN order_events USING INDEX order_events_due:"),
  );
  expect(scans).toEqual([]);
  // Reads and sorts only the user's orders.
  const listed = planLines.filter((line) => /orders_idempotency_key .*limit/i.test(line));
  expect(listed.map((line) => line.split(": ")[0])).toEqual([
    "SEARCH orders USING INDEX orders_idempotency_key (user_id=?)",
  ]);
  // Finding a reopened order reads only the user's orders without a key.
  const reopened = planLines.filter((line) => /orders_idempotency_key .*"stage" in/i.test(line));
  expect(reopened.map((line) => line.split(": ")[0])).toEqual([
    "SEARCH orders USING INDEX orders_idempotency_key (user_id=? AND idempotency_key=?)",
  ]);
  // Finding the few due orders in one status reads no rows of the other.
  const due = planLines.filter((line) => /orders_due [^]*: update [^]*limit/i.test(line));
  expect(due.map((line) => line.split(": ")[0])).toEqual([
    "SEARCH orders USING COVERING INDEX orders_due (status=? AND due_at>?)",
    "SEARCH orders USING COVERING INDEX orders_due (status=? AND due_at<?)",
  ]);
});
