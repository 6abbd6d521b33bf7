import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import {
  createDatabase,
  execute,
  type PostgresServer,
  startPostgres,
} from "../support/postgres.ts";
import { runCommand, spawnService, temporaryFolder } from "../support/process.ts";
import { addUser } from "../support/rows.ts";
import { skip } from "../support/skip.ts";
import { openStore } from "../support/store.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

let server: PostgresServer | undefined;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => server?.[Symbol.asyncDispose]());

const move = (from: string, ...args: string[]) =>
  runCommand(["move", ...args], { DATABASE_URL: from, PORT: "nonsense" });

/** Progress lines, which only slow machines print. */
const ONLY_PROGRESS = /^(\d+ %, .+\n)*(All rows are copied; .+\n)?$/;

/** Submits the action on the board and returns the response's status. */
async function changeStage(url: string, id: number, action: string, seen: string): Promise<number> {
  const { status } = await fetch(`${url}/board/orders/${id}/${action}`, {
    method: "POST",
    body: new URLSearchParams({ seen }),
    headers: { "sec-fetch-site": "same-origin" },
    redirect: "manual",
  });
  return status;
}

test("move to PostgreSQL keeps users, orders, events, keys, pending payments and id sequences", async () => {
  if (server === undefined) return skip("PostgreSQL, which is not installed (Debian's postgresql)");
  using folder = temporaryFolder();
  const from = `file:${join(folder.path, "x.db")}`;
  const to = await createDatabase(server.urlOf("postgres"));
  const key = (name: string) => ({ "idempotency-key": name });
  const environment = { ORDERS_PER_USER_PER_HOUR: "0", PAYMENT_TIMEOUT_MS: "300" };
  {
    await using service = await spawnService({ ...environment, DATABASE_URL: from });
    await service.register("+998901234567", { chat_id: 5, full_name: "Ольга O'Ким\"" });
    await service.put("/tariffs/plumber", { title: "Plumber", price_tiyin: 9_000_000 });
    await service.put("/tariffs/standard_300", {
      title: "Standard",
      price_tiyin: 1,
      active: false,
    });
    expect((await service.order(1, key("a"), "plumber")).status).toBe(200);
    expect(await changeStage(service.url, 1, "accept", "new")).toBe(303);
    const declined = await service.userId("+998900000002");
    expect((await service.order(declined, key("b"), "plumber")).status).toBe(402);
    const refused = await move(from, "--to", to);
    expect([refused.status, refused.complaints]).toEqual([1, expect.stringMatching(/in use/)]);
    const slow = await service.userId("+998900000003");
    expect((await service.order(slow, {}, "plumber")).status).toBe(202);
    await service.end("SIGKILL");
  }
  const moved = await move(from, "--to", to);
  expect(moved).toEqual({
    status: 0,
    complaints: expect.stringMatching(ONLY_PROGRESS),
    printed: expect.stringMatching(/^Moved 3 orders, 3 users and 2 tariffs\./),
  });
  const again = await move(from, "--to", to);
  expect([again.status, again.printed]).toEqual([0, expect.stringMatching(/^Already moved/)]);

  await using service = await spawnService({ ...environment, DATABASE_URL: to });
  expect((await service.get("/orders/1")).body["stage"]).toBe("accepted");
  // The event was moved, and event ids continue after it.
  expect(await changeStage(service.url, 1, "undo", "accepted")).toBe(303);
  expect((await service.get("/orders/1")).body["stage"]).toBe("new");
  const repeat = await service.order(1, key("a"), "plumber");
  expect([repeat.status, repeat.body["order_id"]]).toEqual([200, 1]);
  expect(repeat.headers.get("idempotent-replayed")).toBe("true");
  expect((await service.order(2, key("b"), "plumber")).status).toBe(402);
  expect((await service.order(1, key("c"))).body["code"]).toBe("tariff_not_found");
  expect((await service.get("/users?chat_id=5")).body).toMatchObject({
    full_name: "Ольга O'Ким\"",
  });
  expect((await service.order(3, {}, "plumber")).body).toMatchObject({ order_id: 3 });
  expect((await service.order(1, key("d"), "plumber")).body["order_id"]).toBeGreaterThan(3);
  expect(await service.userId("+998901234568")).toBeGreaterThan(3);

  const late = await move(from, "--to", to);
  expect([late.status, late.complaints]).toEqual([
    1,
    expect.stringMatching(/already has other users/),
  ]);
});

test("move is rolled back if the target drops rows, and can be retried", async () => {
  if (server === undefined) return skip("PostgreSQL, which is not installed (Debian's postgresql)");
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const from = `file:${path}`;
  const store = openStore(path);
  await store.run(addUser("+998901234567"));
  await store.run((tx) => tx.delete(tx.tables.users));
  await store.run(addUser("+998901234568"));
  await store.close();
  const to = await createDatabase(server.urlOf("postgres"));
  await using service = await spawnService({ DATABASE_URL: to });
  await execute(
    to,
    `CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
     CREATE TRIGGER drop_row BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION drop_row()`,
  );
  const failed = await move(from, "--to", to);
  expect([failed.status, failed.complaints]).toEqual([1, expect.stringMatching(/totals/)]);
  expect((await service.get("/tariffs")).body).toHaveLength(1);
  await execute(to, "DROP TRIGGER drop_row ON users");
  expect((await move(from, "--to", to)).status).toBe(0);
  // An instance that is already running continues after the moved ids.
  expect(await service.userId("+998901234569")).toBe(3);
});

test("move refuses a target database with an encoding other than UTF8", async () => {
  if (server === undefined) return skip("PostgreSQL, which is not installed (Debian's postgresql)");
  using folder = temporaryFolder();
  await openStore(join(folder.path, "x.db")).close();
  const url = server.urlOf("latin");
  await execute(
    server.urlOf("postgres"),
    "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0",
  );
  const refused = await move(`file:${join(folder.path, "x.db")}`, "--to", url);
  expect([refused.status, refused.complaints]).toEqual([1, expect.stringMatching(/LATIN1/)]);
  expect(await execute(url, "SELECT FROM pg_tables WHERE schemaname = 'public'")).toHaveLength(0);
});

test("move reports missing arguments and databases without printing the password", async () => {
  using folder = temporaryFolder();
  const file = `file:${join(folder.path, "x.db")}`;
  const to = "postgres://u:s3cret@127.0.0.1:1/shop";
  expect(await move(file)).toMatchObject({ status: 2, complaints: expect.stringMatching(/--to/) });
  expect(await move(file, "--form", to)).toMatchObject({ status: 2 });
  expect(await move(file, "--to", file)).toMatchObject({ status: 2 });
  expect(await move(to, "--to", to)).toMatchObject({ status: 2 });
  const nothing = await move(file, "--to", to);
  expect(nothing).toMatchObject({ status: 1, complaints: expect.stringMatching(/no database/) });
  await openStore(join(folder.path, "x.db")).close();
  const unreachable = await move(file, "--to", to);
  expect(unreachable.complaints).toMatch(/can't be opened/);
  expect(unreachable.complaints).not.toContain("s3cret");
});
