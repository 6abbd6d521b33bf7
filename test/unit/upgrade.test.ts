import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createLog } from "../../src/log.ts";
import { openSqliteStore } from "../../src/store/sqlite/store.ts";
import { temporaryFolder } from "../support/process.ts";
import { createServiceOn } from "../support/service.ts";
import { createDependencies, createWorld } from "../support/world.ts";

const FIXTURES = join(import.meta.dir, "../fixtures");
const MIGRATIONS = join(import.meta.dir, "../../drizzle/sqlite");

const log = createLog({ level: "error", json: false, write: console.error, now: Date.now });

const fixtures = readdirSync(FIXTURES).toSorted();
const migrations = readdirSync(MIGRATIONS).filter((name) => name.endsWith(".sql"));

function makeDatabase(path: string, fixture: string): void {
  using database = new Database(path, { create: true, strict: true });
  database.run(readFileSync(join(FIXTURES, fixture), "utf8"));
}

/** Upgrades the database and starts a service on it. */
function upgrade(path: string) {
  const world = createWorld();
  const store = openSqliteStore(path, log, () => performance.now());
  return { world, ...createServiceOn({ ...createDependencies(world), store }) };
}

test("every released schema has a fixture", () => {
  expect(fixtures).toEqual(migrations.map((_, at) => `schema-${at + 1}.sql`));
});

describe.each(fixtures)("upgrade from %s", (fixture) => {
  test("keeps every row, and a copy of the database if it was migrated", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    makeDatabase(path, fixture);
    const { get, dependencies } = upgrade(path);
    const bodyOf = async (address: string) => (await get(address)).body;
    expect(await bodyOf("/users?phone_number=901234567")).toEqual({
      user_id: 3,
      chat_id: -100123,
      full_name: "Aziza",
      created_at: "2026-09-01T09:00:00.000Z",
    });
    expect((await bodyOf("/users?phone_number=901234568"))["user_id"]).toBe(5);
    const order = { currency: "UZS", tariff_code: "standard_300", amount_tiyin: 30_000 };
    expect(await bodyOf("/orders/4")).toMatchObject({
      ...order,
      order_id: 4,
      user_id: 3,
      status: "pending",
      created_at: "2026-09-01T09:00:01.000Z",
      settled_at: null,
    });
    expect(await bodyOf("/orders/5")).toMatchObject({
      order_id: 5,
      user_id: 3,
      tariff_code: "gold",
      amount_tiyin: 5_000_000,
      status: "paid",
      settled_at: "2026-09-01T09:00:03.000Z",
    });
    expect(await bodyOf("/orders/6")).toMatchObject({ ...order, user_id: 5, status: "paid" });
    expect(await bodyOf("/orders/7")).toMatchObject({ ...order, user_id: 5, status: "declined" });
    await dependencies.store.close();
    const kept = readdirSync(folder.path).filter((name) => name.includes(".before-schema-"));
    const isOlder = fixture !== fixtures.at(-1);
    expect(kept).toHaveLength(isOlder ? 1 : 0);
  });

  test("keeps keys, pending work and id sequences", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    makeDatabase(path, fixture);
    const { world, order, app, dependencies } = upgrade(path);
    const answer = async (user: number, key: string, tariff?: string) => {
      const { status, body } = await order(user, { "idempotency-key": key }, tariff);
      return [status, body["order_id"]];
    };
    expect(await answer(3, "key-of-paid", "gold")).toEqual([200, 5]);
    expect(await answer(5, "key-of-declined")).toEqual([402, 7]);
    expect(world.charges).toEqual([]);
    await app.workers.charge.runOnce();
    await app.idle();
    expect(world.charges.map(({ paymentKey }) => paymentKey)).toEqual(["p-4"]);
    await app.workers.notify.runOnce();
    await app.idle();
    expect(world.notified.toSorted()).toEqual([4, 6]);
    expect(await answer(3, "key-of-pending")).toEqual([200, 4]);
    const [status, newest] = await answer(5, "a-new-key");
    expect(status).toBe(200);
    // Above the highest id ever assigned, whose row was deleted.
    expect(newest).toBeGreaterThan(40);
    await app.idle();
    await dependencies.store.close();
  });
});
