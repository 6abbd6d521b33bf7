import { SQL } from "bun";
import { eq, sql as raw } from "drizzle-orm";
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  spyOn,
  test,
} from "bun:test";
import { boardVersion } from "../../src/board/board-queries.ts";
import { createLog } from "../../src/log.ts";
import { webhookJobs } from "../../src/orders/event-queries.ts";
import { chargeJobs } from "../../src/orders/order-jobs.ts";
import { openPostgresStore, type PostgresStore } from "../../src/store/postgres/store.ts";
import { readMigrations } from "../../src/store/migrations.ts";
import type { ReadTx, Store } from "../../src/store/store.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import {
  createDatabase,
  execute,
  type PostgresServer,
  startPostgres,
} from "../support/postgres.ts";
import { addUser, allUsers, PENDING, refusal } from "../support/rows.ts";
import { createServiceOn } from "../support/service.ts";
import { skip } from "../support/skip.ts";
import { type Fate, startProxy } from "../support/tcp-proxy.ts";
import { createDependencies, createWorld } from "../support/world.ts";

// Faults of a remote database server.

setDefaultTimeout(BUSY_MACHINE_MS);

/** For transactions that hang: the server cancels them after 1 s and has 1.5 s left to answer. */
const HANGING_MS = 2500;

let server: PostgresServer | undefined;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => server?.[Symbol.asyncDispose]());

const opened: Store[] = [];
const lines: string[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
  lines.length = 0;
});

const log = createLog({
  level: "info",
  json: false,
  write: (line) => lines.push(line),
  now: Date.now,
});

async function open(url: string, timeoutMs?: number): Promise<PostgresStore> {
  const store = await openPostgresStore(url, log, Date.now, undefined, timeoutMs);
  opened.push(store);
  return store;
}

/**
 * Opens a store whose clock stands still, so that no transaction times out on a busy machine.
 * Between `hurry` and `calm` each read of the clock advances it by a tenth of the timeout.
 */
async function openOnClock(url: string) {
  let [nowMs, advanceMs] = [Date.now(), 0];
  const store = await openPostgresStore(
    url,
    log,
    () => (nowMs += advanceMs),
    undefined,
    BUSY_MACHINE_MS,
  );
  opened.push(store);
  return {
    store,
    hurry: () => void (advanceMs = BUSY_MACHINE_MS / 10),
    calm: () => void (advanceMs = 0),
  };
}

/** Makes the store notice that its two connections are dead; reads can be retried safely. */
const touchConnections = (store: Store) =>
  Promise.all([1, 2].map(() => refusal(store.read((tx) => tx.select().from(tx.tables.tariffs)))));

/** Registers a test with a new database; it is skipped if PostgreSQL is not installed. */
function onServer(name: string, body: (server: PostgresServer, url: string) => Promise<void>) {
  test(name, async () => {
    if (server === undefined)
      return skip("PostgreSQL, which is not installed (Debian's postgresql)");
    await body(server, await createDatabase(server.urlOf("postgres")));
  });
}

/** Returns the service on an open store, with a fake outside world. */
function serve(store: Store, environment: Record<string, string> = {}) {
  const world = createWorld();
  const dependencies = { ...createDependencies(world), store };
  return { world, ...createServiceOn(dependencies, environment) };
}

function cutConnections(url: string) {
  return execute(
    url,
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
  );
}

describe("connection cut after the server has committed", () => {
  onServer(
    "causes no second order, with or without a key, and the first is charged",
    async (server, url) => {
      let cut: RegExp | undefined;
      const judge = (data: string): Fate => {
        if (cut?.test(data) !== true) return "pass";
        cut = undefined;
        return "cut";
      };
      using proxy = startProxy(server.port, { judge });
      const store = await open(url.replace(/:\d+\//, `:${proxy.port}/`));
      const { order, userId, world } = serve(store, { ORDER_REPEAT_WINDOW_S: "0" });
      const user = await userId();
      for (const headers of [{ "idempotency-key": "a" }, {}]) {
        cut = /INSERT 0 1\0/;
        const { status, headers: answered } = await order(user, headers);
        expect([status, answered.get("idempotent-replayed")]).toEqual([200, null]);
        expect(cut).toBeUndefined();
      }
      const rows = await store.read((tx) => tx.select().from(tx.tables.orders));
      expect(rows.map(({ status }) => status)).toEqual(["paid", "paid"]);
      expect(world.charges.map(({ paymentKey }) => paymentKey).toSorted()).toEqual(
        rows.map(({ paymentKey }) => paymentKey).toSorted(),
      );
      // The same for a lost response to COMMIT.
      cut = /COMMIT\0/;
      await store.run((tx) => tx.update(tx.tables.tariffs).set({ priceTiyin: 5 }));
      expect(cut).toBeUndefined();
      expect(await store.read((tx) => tx.select().from(tx.tables.tariffs))).toMatchObject([
        { priceTiyin: 5 },
      ]);
    },
  );
});

describe("order whose insert was not acknowledged, claimed by another instance since", () => {
  for (const [outcome, status] of [
    ["paid", 200],
    ["declined", 402],
    ["pending", 202],
  ] as const) {
    onServer(`is answered as that instance's attempt left it: ${outcome}`, async (server, url) => {
      const network = { isUp: true, cutsInserts: false };
      const judge = (data: string): Fate => {
        if (!network.cutsInserts || !/INSERT 0 1\0/.test(data)) return "pass";
        network.isUp = false;
        return "cut";
      };
      // Nothing listens on port 1, so the insert is retried only once the network is back up.
      using proxy = startProxy(() => (network.isUp ? server.port : 1), { judge });
      const { store } = await openOnClock(url.replace(/:\d+\//, `:${proxy.port}/`));
      const [first, second] = [serve(store), serve(await open(url))];
      const user = await second.userId();
      const order = ({ post }: typeof first, address: string) =>
        post(
          "/create_order",
          { user_id: user, tariff_code: "standard_300", address },
          { "idempotency-key": "a" },
        );
      network.cutsInserts = true;
      const ordering = order(first, "Chilonzor 5");
      while (network.isUp) await Bun.sleep(1);

      // The lease of the first attempt expires.
      for (const { world } of [first, second]) world.nowMs += 60_000;
      // This repeat changes the address, which must not mark the first response.
      expect((await order(second, "Chilonzor 7")).status).toBe(202);
      const charge = Promise.withResolvers<"paid">();
      second.world.charge = async () => (outcome === "pending" ? charge.promise : outcome);
      // Unfinished, so that the paid order still has a due time.
      const notification = Promise.withResolvers<void>();
      second.world.notify = () => notification.promise;
      const { workers, idle } = second.app;
      expect(await workers.charge.runOnce()).toBe(1);
      if (outcome !== "pending") await workers.charge.idle();

      network.cutsInserts = false;
      network.isUp = true;
      const { status: answered, body, headers } = await ordering;
      expect([answered, body["order_id"], body["details_ignored"]]).toEqual([status, 1, undefined]);
      expect(headers.get("idempotent-replayed")).toBeNull();
      charge.resolve("paid");
      notification.resolve();
      await idle();
      expect([first.world.charges.length, second.world.charges.length]).toEqual([0, 1]);
      const rows = await second.dependencies.store.read((tx) => tx.select().from(tx.tables.orders));
      expect(rows).toMatchObject([{ id: 1, address: "Chilonzor 7" }]);
    });
  }
});

describe("server unreachable after it has committed an order", () => {
  onServer("causes a 500 instead of a 503, and a repeat finds the order", async (server, url) => {
    const judge = (data: string): Fate => {
      if (!/INSERT 0 1\0/.test(data)) return "pass";
      clock.hurry();
      // New connections are refused from now on.
      proxy[Symbol.dispose]();
      return "cut";
    };
    const user = await serve(await open(url)).userId();
    using proxy = startProxy(server.port, { judge });
    const clock = await openOnClock(url.replace(/:\d+\//, `:${proxy.port}/`));
    const far = serve(clock.store);
    const answers = await Promise.all([far.order(user), far.order(user)]);
    expect(answers.map(({ body }) => body["code"])).toEqual(Array(2).fill("internal_error"));
    expect(far.world.lines.join()).toContain("OutcomeUnknown");
    // The outcome of a read is never unknown.
    expect((await far.get("/orders/1")).body["code"]).toBe("unavailable");
    const near = serve(await open(url));
    near.world.nowMs += 60_000;
    await near.app.workers.charge.runOnce();
    await near.app.idle();
    const repeat = await near.order(user);
    expect([repeat.status, repeat.body["order_id"]]).toEqual([200, 1]);
  });
});

describe("server unreachable while an unacknowledged insert is looked up", () => {
  onServer("causes a 500 instead of a 503", async (server, url) => {
    const inserts: string[] = [];
    const judge = (data: string): Fate => {
      const [insert] = /INSERT 0 [01]\0/.exec(data) ?? [];
      if (inserts.length < 2) {
        if (insert === undefined) return "pass";
        inserts.push(insert);
        // The second one finds the row of the first.
        return inserts.length === 1 ? "cut" : "pass";
      }
      clock.hurry();
      proxy[Symbol.dispose]();
      return "cut";
    };
    const user = await serve(await open(url)).userId();
    using proxy = startProxy(server.port, { judge });
    const clock = await openOnClock(url.replace(/:\d+\//, `:${proxy.port}/`));
    const { status, body } = await serve(clock.store).order(user);
    expect([status, body["code"]]).toEqual([500, "internal_error"]);
    expect(inserts).toEqual(["INSERT 0 1\0", "INSERT 0 0\0"]);
  });
});

describe("server that stalls during a charge", () => {
  onServer("delays the response only until the lease ends", async (server, url) => {
    let isStalled = false;
    using proxy = startProxy(server.port, { judge: () => (isStalled ? "hold" : "pass") });
    // Its transactions time out after a minute.
    const clock = await openOnClock(url.replace(/:\d+\//, `:${proxy.port}/`));
    const { order, userId, world } = serve(clock.store, { PAYMENT_TIMEOUT_MS: "1" });
    const user = await userId();
    world.charge = async () => {
      isStalled = true;
      return "paid";
    };
    const { status, body } = await order(user);
    expect([status, body["order_id"]]).toEqual([202, 1]);
    expect(world.lines.join()).not.toContain("Could not record");
    clock.hurry();
  });
});

describe("order in one batch with a repeat that can't be saved", () => {
  onServer("is accepted and charged, and the repeat fails with 503", async (_server, url) => {
    const { post, userId, world } = serve(await open(url, HANGING_MS));
    const users = [await userId("+998900000001"), await userId("+998900000004")];
    const order = (user: number | undefined, address: string) =>
      post("/create_order", { user_id: user, tariff_code: "standard_300", address });
    await order(users[0], "Chilonzor 5");
    await using blocker = new SQL({ url, max: 1 });
    await blocker.begin(async (tx) => {
      await tx`SELECT FROM orders WHERE id = 1 FOR UPDATE`;
      const answers = await Promise.all([
        order(users[0], "Chilonzor 7"),
        order(users[1], "Chilonzor 9"),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([503, 200]);
    });
    expect(world.charges).toHaveLength(2);
  });
});

describe("order in one batch with a repeat that can't be looked up", () => {
  onServer("is not refused, because it is saved", async (_server, url) => {
    const { post, userId } = serve(await open(url));
    const users = [await userId("+998900000001"), await userId("+998900000004")];
    const order = (user: number | undefined) =>
      post("/create_order", { user_id: user, tariff_code: "standard_300" });
    await order(users[0]);
    // The server cancels lookups by payment key on a connection that has inserted an order.
    await execute(
      url,
      `CREATE SCHEMA slow;
       CREATE FUNCTION slow.answers() RETURNS boolean STABLE LANGUAGE plpgsql AS $$ BEGIN
         IF current_query() LIKE 'select%"payment_key" = $1%' THEN
           RAISE 'canceling statement' USING ERRCODE = 'query_canceled';
         END IF;
         RETURN true;
       END $$;
       CREATE VIEW slow.orders AS SELECT * FROM public.orders WHERE slow.answers();
       CREATE FUNCTION slow.begin() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM set_config('search_path', 'slow, public', false); RETURN NULL; END $$;
       CREATE TRIGGER slow AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION slow.begin()`,
    );
    const [, added] = await Promise.all([order(users[0]), order(users[1])]);
    expect(added.status).toBe(200);
  });
});

describe("order limit", () => {
  const key = (name: string) => ({ "idempotency-key": name });

  /** Calls `work` while no order can be inserted. Orders can still be read. */
  async function whileInsertsWait(url: string, work: () => Promise<void>) {
    await using blocker = new SQL({ url, max: 1 });
    await blocker.begin(async (tx) => {
      await tx`LOCK TABLE orders IN SHARE MODE`;
      await work();
    });
  }

  /** Waits until an insert waits for the lock, and the other connection has run what is queued. */
  async function insertWaits(url: string, store: Store) {
    const waiting = "SELECT 1 FROM pg_locks WHERE relation = 'orders'::regclass AND NOT granted";
    while ((await execute(url, waiting)).length === 0) await Bun.sleep(1);
    for (let n = 0; n < 5; n++) await store.read((tx) => tx.select().from(tx.tables.tariffs));
  }

  for (const [what, earlier, name] of [
    ["a repeat of an order that is not committed yet", [], "a"],
    ["an order while a repeat is holding the last use", ["a", "b"], "c"],
  ] as const) {
    onServer(`does not refuse ${what}`, async (_server, url) => {
      const store = await open(url);
      const limit = { ORDERS_PER_USER_PER_HOUR: String(earlier.length + 1) };
      const { order, userId } = serve(store, limit);
      const user = await userId();
      for (const given of earlier) await order(user, key(given));
      const answers: ReturnType<typeof order>[] = [];
      await whileInsertsWait(url, async () => {
        answers.push(order(user, key("a")));
        await insertWaits(url, store);
        // Of these two, one creates the order if it is new, and the other repeats it.
        answers.push(order(user, key(name)), order(user, key(name)));
        await insertWaits(url, store);
      });
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200]);
    });
  }
});

describe("transaction", () => {
  onServer("is retried on a new connection if its connection is cut", async (_server, url) => {
    const store = await open(url);
    const transactions: Promise<unknown>[] = [];
    for (let i = 0; i < 20; i++) {
      const user = { phoneNumber: `+9989000000${10 + i}`, createdAt: 0, smsTriedAt: 0 };
      // A transaction that committed but lost its response runs twice.
      transactions.push(
        store.run((tx) => tx.insert(tx.tables.users).values(user).onConflictDoNothing()),
      );
      await cutConnections(url);
    }
    await Promise.all(transactions);
    expect(await store.run(allUsers)).toHaveLength(20);
  });

  onServer(
    "is retried from its start if the connection is cut midway or before COMMIT",
    async (_server, url) => {
      const store = await open(url);
      for (const cutAfter of [1, 2]) {
        let attempts = 0;
        await store.run(async (tx) => {
          attempts += 1;
          for (const n of [1, 2]) {
            await addUser(`+99890000000${cutAfter}${n}`)(tx);
            if (attempts === 1 && n === cutAfter) await cutConnections(url);
          }
        });
        expect(attempts).toBe(2);
      }
      expect(await store.run(allUsers)).toHaveLength(4);
    },
  );

  onServer(
    "is retried if the server ends it because the process was suspended",
    async (_server, url) => {
      const store = await open(url);
      const name = new URL(url).pathname.slice(1);
      // For the connections that the store opens later. A migration could take longer.
      await execute(url, `ALTER DATABASE ${name} SET idle_in_transaction_session_timeout = 300`);
      let attempts = 0;
      await store.run(async (tx) => {
        attempts += 1;
        await addUser("+998900000001")(tx);
        const open = "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction'";
        while (attempts === 1 && (await execute(url, open)).length > 0) await Bun.sleep(1);
      });
      // More on a busy machine.
      expect(attempts).toBeGreaterThan(1);
      expect(await store.run(allUsers)).toHaveLength(1);
    },
  );

  onServer("fails with 503 if it waits for longer than lock_timeout", async (_server, url) => {
    const name = new URL(url).pathname.slice(1);
    const user = await serve(await open(url)).userId();
    await execute(url, `ALTER DATABASE ${name} SET lock_timeout = 1`);
    const { order } = serve(await open(url));
    await using blocker = new SQL({ url, max: 1 });
    await blocker.begin(async (tx) => {
      await tx`LOCK TABLE orders`;
      const { status, body } = await order(user);
      expect([status, body["code"]]).toEqual([503, "unavailable"]);
    });
  });

  onServer("is tried up to five times on deadlocks", async (_server, url) => {
    const store = await open(url);
    // Sequences are not rolled back, so this one counts the attempts.
    await execute(
      url,
      `CREATE SEQUENCE tries;
       CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF nextval('tries') % 5 <> 0 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF;
         RETURN NEW;
       END $$;
       CREATE TRIGGER conflict BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION conflict()`,
    );
    await store.run(addUser("+998900000001"));
    await execute(url, "SELECT nextval('tries')");
    await execute(url, "ALTER SEQUENCE tries INCREMENT BY 5");
    const tries = async () => {
      await using sql = new SQL({ url, max: 1 });
      return Number((await sql`SELECT last_value FROM tries`)[0].last_value);
    };
    const before = await tries();
    expect(await refusal(store.run(addUser("+998900000002")))).toContain("Unavailable");
    expect(await tries()).toBe(before + 5 * 5);
    expect(await store.run(allUsers)).toHaveLength(1);
  });

  onServer(
    "times out if it hangs, and so do transactions queued behind it",
    async (_server, url) => {
      const store = await open(url, HANGING_MS);
      await using blocker = new SQL({ url, max: 1 });
      await blocker.begin(async (tx) => {
        await tx`LOCK TABLE users`;
        const sizes: number[] = [];
        const add = store.batch(async (tx, items: readonly string[]) => {
          sizes.push(items.length);
          await addUser("+998900000009")(tx);
          return items;
        });
        const queued = Array.from({ length: 50 }, () => store.run(addUser("+998900000009")));
        const refused = await Promise.all([...queued, add("a"), add("b")].map(refusal));
        expect(refused.filter((reason) => !reason.startsWith("Unavailable: "))).toEqual([]);
        // A batch that times out is not retried item by item, which would take as long again.
        expect(sizes).toEqual([]);
        expect(await Promise.all(["a", "b"].map((item) => refusal(add(item))))).toEqual(
          Array(2).fill("Unavailable: the database is unavailable"),
        );
        expect(sizes).toEqual([2]);
      });
      while ((await refusal(store.run(addUser("+998900000001")))) !== "none");
      expect(await store.run(allUsers)).toHaveLength(1);
    },
  );

  onServer(
    "fails with 503 while the server is down, and works once it is back",
    async (server, url) => {
      const user = await serve(await open(url)).userId();
      const { store, hurry, calm } = await openOnClock(url);
      const { order, get, world } = serve(store);
      await touchConnections(store);
      await server.crash();
      hurry();
      try {
        await touchConnections(store);
        const refused = await order(user);
        expect([refused.status, refused.body["code"]]).toEqual([503, "unavailable"]);
        expect((await get("/orders/1")).status).toBe(503);
        expect((await get("/health")).status).toBe(503);
        expect(world.charges).toEqual([]);
      } finally {
        await server.start();
      }
      calm();
      expect((await order(user)).status).toBe(200);
      expect(world.charges).toHaveLength(1);
    },
  );

  onServer(
    "fails with 503 while the server is read-only, and works once it is writable",
    async (server, url) => {
      const name = new URL(url).pathname.slice(1);
      const { order, userId, get, world } = serve(await open(url));
      const user = await userId();
      const clock = await openOnClock(url);
      const short = serve(clock.store);
      await execute(url, `ALTER DATABASE ${name} SET default_transaction_read_only = on`);
      await cutConnections(url);
      await touchConnections(clock.store);
      clock.hurry();
      const refused = await short.order(user);
      expect([refused.status, refused.body["code"]]).toEqual([503, "unavailable"]);
      expect((await short.get("/health")).status).toBe(503);
      expect(short.world.charges).toEqual([]);
      await execute(
        server.urlOf("postgres"),
        `ALTER DATABASE ${name} RESET default_transaction_read_only`,
      );
      await cutConnections(url);
      expect((await order(user)).status).toBe(200);
      expect([(await get("/health")).status, world.charges.length]).toEqual([200, 1]);
    },
  );

  onServer(
    "is logged with the server's reason if rejected, without row values",
    async (_server, url) => {
      const store = await open(url);
      const { register, world } = serve(store);
      await execute(url, "ALTER TABLE users ADD CONSTRAINT few CHECK (id < 1)");
      expect((await register("+998901234567", { full_name: "Aziza" })).status).toBe(500);
      const logged = world.lines.filter((line) => line.includes("23514")).join("\n");
      expect(logged).toContain("violates check constraint");
      expect(world.lines.join("\n")).not.toContain("Aziza");
    },
  );
});

onServer("migration from the first PostgreSQL schema keeps the orders", async (_server, url) => {
  const [first] = readMigrations("postgres");
  const day = 86_400_000;
  const [old, recent] = [Date.now() - 2 * day, Date.now() - day / 2];
  for (const statement of [
    ...(first?.statements ?? []),
    "CREATE TABLE nmservis_migrations (number int PRIMARY KEY, hash text NOT NULL)",
    `INSERT INTO nmservis_migrations VALUES (0, '${first?.hash}')`,
    "INSERT INTO users (phone_number, created_at, sms_tried_at) VALUES ('+998901234567', 0, 0)",
    ...[
      `'paid', 'a', 'p1', 1, ${old}, ${old}, NULL`,
      `'paid', 'b', 'p2', 1, ${recent}, ${recent}, NULL`,
      `'paid', 'c', 'p3', 1, 2, NULL, 3`,
      `'declined', 'd', 'p4', 1, 2, NULL, NULL`,
      `'pending', 'e', 'p5', 1, NULL, NULL, 3`,
    ].map(
      (
        order,
      ) => `INSERT INTO orders (user_id, tariff_code, amount_tiyin, attempts, repeatable, status,
        idempotency_key, payment_key, created_at, settled_at, notified_at, due_at)
      VALUES (1, 'standard_300', 1, 1, false, ${order})`,
    ),
  ]) {
    await execute(url, statement);
  }
  const store = await open(url);
  const rows = await store.read((tx) => tx.select().from(tx.tables.orders));
  expect(
    rows
      .toSorted((a, b) => a.id - b.id)
      .map(({ status, stage, stageAt, paymentKey }) => [paymentKey, status, stage, stageAt]),
  ).toEqual([
    ["p1", "paid", "completed", old],
    ["p2", "paid", "new", recent],
    ["p3", "paid", "new", 2],
    ["p4", "declined", null, null],
    ["p5", "pending", null, null],
  ]);
});

describe("several instances", () => {
  onServer("migrate an empty database concurrently, each migration once", async (_server, url) => {
    const name = new URL(url).pathname.slice(1);
    await execute(url, `ALTER DATABASE ${name} SET default_transaction_isolation = serializable`);
    const stores = await Promise.all(Array.from({ length: 10 }, () => open(url)));
    await Promise.all(stores.map((store, i) => store.run(addUser(`+9989000000${10 + i}`))));
    expect(await stores[0]?.run(allUsers)).toHaveLength(10);
    await using sql = new SQL({ url, max: 1 });
    expect(await sql`SELECT number::text FROM nmservis_migrations`).toHaveLength(3);
  });

  onServer("use read committed, whatever the database's default is", async (_server, url) => {
    const name = new URL(url).pathname.slice(1);
    await execute(url, `ALTER DATABASE ${name} SET default_transaction_isolation = serializable`);
    const store = await open(url);
    const level = (tx: ReadTx) =>
      tx.select({ level: raw`current_setting('transaction_isolation')` }).from(tx.tables.tariffs);
    const expected = [{ level: "read committed" }];
    expect([await store.run(level), await store.read(level)]).toEqual([expected, expected]);
  });

  onServer("use the server's clock", async (_server, url) => {
    const ahead = await openPostgresStore(url, log, () => Date.now() + 86_400_000);
    opened.push(ahead);
    expect(Math.abs(ahead.now() - Date.now())).toBeLessThan(BUSY_MACHINE_MS);
  });

  onServer("ignore a reading of the server's clock that took too long", async (_server, url) => {
    using timers = spyOn(globalThis, "setInterval");
    let [stalledMs, advanceMs] = [0, 0];
    const elapsed = () => performance.now() + (stalledMs += advanceMs);
    const store = await openPostgresStore(url, log, elapsed, undefined, 1000 * BUSY_MACHINE_MS);
    opened.push(store);
    const readClock = timers.mock.calls.map(([call]) => call).at(-1);
    const offsetMs = store.now() - elapsed();
    advanceMs = 4000;
    if (typeof readClock === "function") readClock();
    // Waits for it.
    await Promise.all([1, 2].map(() => store.run(allUsers)));
    advanceMs = 0;
    expect(stalledMs).toBeGreaterThan(0);
    expect(Math.abs(store.now() - elapsed() - offsetMs)).toBeLessThan(500);
  });

  onServer("make a repeat wait for the instance that charges the order", async (_server, url) => {
    const [first, second] = [serve(await open(url)), serve(await open(url))];
    const user = await first.userId();
    const answer = Promise.withResolvers<"paid">();
    first.world.charge = () => answer.promise;
    const key = { "idempotency-key": "a" };
    const taken = first.order(user, key);
    while (first.world.charges.length < 1) await Bun.sleep(1);
    const repeats = [second.order(user, key), second.order(user, key)];
    expect(await Promise.race([...repeats, Bun.sleep(120).then(() => "waits")])).toBe("waits");
    answer.resolve("paid");
    expect((await taken).status).toBe(200);
    for (const repeat of await Promise.all(repeats)) {
      expect([repeat.status, repeat.headers.get("idempotent-replayed")]).toEqual([200, "true"]);
    }
    expect(second.world.charges).toEqual([]);
  });

  onServer(
    "make a repeat wait until the order is in doubt, the lease expires, or the clock is set back",
    async (_server, url) => {
      const slow = { PAYMENT_TIMEOUT_MS: "120000" };
      const [first, second] = [serve(await open(url), slow), serve(await open(url), slow)];
      const user = await first.userId();
      const failure = Promise.withResolvers<"paid">();
      first.world.charge = () => failure.promise;
      const taken = first.order(user);
      while (first.world.charges.length < 1) await Bun.sleep(1);
      const repeat = second.order(user);
      failure.reject(new Error("502"));
      expect([(await taken).status, (await repeat).status]).toEqual([202, 202]);

      first.world.charge = () => new Promise(() => {});
      void first.order(user, { "idempotency-key": "b" });
      while (first.world.charges.length < 2) await Bun.sleep(1);
      const late = second.order(user, { "idempotency-key": "b" });
      second.world.nowMs += 121_000;
      expect((await late).status).toBe(202);
      // The clock is set back.
      second.world.nowMs -= 2 * 121_000;
      expect((await second.order(user, { "idempotency-key": "b" })).status).toBe(202);
    },
  );

  onServer("answer waiting repeats when they stop", async (_server, url) => {
    const slow = { PAYMENT_TIMEOUT_MS: "120000" };
    const [first, second] = [serve(await open(url), slow), serve(await open(url), slow)];
    const user = await first.userId();
    const answer = Promise.withResolvers<"paid">();
    first.world.charge = () => answer.promise;
    const taken = first.order(user);
    while (first.world.charges.length < 1) await Bun.sleep(1);
    const repeat = second.order(user);
    await second.app.drain();
    expect((await repeat).status).toBe(202);
    answer.resolve("paid");
    expect((await taken).status).toBe(200);
  });

  onServer(
    "bring forward due times beyond any lease or backoff, but no earlier ones",
    async (_server, url) => {
      const store = await open(url);
      const { order, userId, world, app } = serve(store);
      const user = await userId();
      world.charge = () => Promise.reject(new Error("502"));
      await order(user, { "idempotency-key": "a" });
      await order(user, { "idempotency-key": "b" });
      const HOUR_MS = 3_600_000;
      await store.run(async (tx) => {
        const { orders } = tx.tables;
        const rows = await tx.select().from(orders).orderBy(orders.id);
        for (const [at, { id }] of rows.entries()) {
          const dueAt = world.nowMs + (at === 0 ? HOUR_MS : 2 * HOUR_MS);
          await tx.update(orders).set({ dueAt }).where(eq(orders.id, id));
        }
      });
      const ending = new AbortController();
      const running = app.workers.charge.run(ending.signal);
      while (world.charges.length < 3) await Bun.sleep(1);
      ending.abort();
      await running;
      await app.idle();
      expect(world.charges.map(({ orderId }) => orderId)).toEqual([1, 2, 2]);
    },
  );

  onServer("make at most 10,000 waiting jobs due at once", async (_server, url) => {
    const store = await open(url);
    await store.run(addUser("+998900000001"));
    await execute(
      url,
      `INSERT INTO orders (user_id, tariff_code, amount_tiyin, status, payment_key, created_at,
           due_at, attempts, repeatable)
         SELECT 1, 'standard_300', 1, 'pending', n, 0, n, 1, false FROM generate_series(3, 10003) n;
       INSERT INTO order_events (order_id, at, actor, kind, due_at, attempts)
         SELECT 1, 0, '', 'settled', n, 1 FROM generate_series(3, 10003) n`,
    );
    for (const [table, jobs] of [
      ["orders", chargeJobs],
      ["order_events", webhookJobs],
    ] as const) {
      const woken = await store.run((tx) => jobs.makeDue(tx, { now: 1, after: 2 }));
      expect(woken).toHaveLength(10_000);
      expect(
        await execute(url, `SELECT due_at::int AS left FROM ${table} WHERE due_at > 1`),
      ).toEqual([{ left: 10_003 }]);
    }
  });

  onServer("skip orders and events that another one has locked", async (_server, url) => {
    const store = await open(url);
    await store.run(async (tx) => {
      const { orders, orderEvents } = tx.tables;
      await addUser("+998900000001")(tx);
      const event = { orderId: 1, at: 0, actor: "", kind: "settled" as const };
      for (const paymentKey of ["a", "b"]) {
        await tx.insert(orders).values({ ...PENDING, paymentKey });
        await tx.insert(orderEvents).values({ ...event, dueAt: 1, attempts: 0 });
      }
    });
    await using other = new SQL({ url, max: 1 });
    await other.begin(async (tx) => {
      // Like an UPDATE, this does not conflict with the foreign key of the other event.
      await tx`SELECT FROM orders WHERE id = 1 FOR NO KEY UPDATE`;
      await tx`SELECT FROM order_events WHERE id = 1 FOR NO KEY UPDATE`;
      for (const jobs of [chargeJobs, webhookJobs]) {
        const found = await store.run(async (tx) => [
          await jobs.makeDue(tx, { now: 2, after: 0 }),
          await jobs.claim(tx, { now: 2, dueAt: 3, limit: 10 }),
        ]);
        expect(found.map((rows) => rows.length)).toEqual([1, 1]);
      }
    });
  });

  onServer(
    "show an event on the board that is committed after a newer one",
    async (_server, url) => {
      const store = await open(url);
      await store.run(async (tx) => {
        await addUser("+998900000001")(tx);
        await tx.insert(tx.tables.orders).values(PENDING);
      });
      const insert = "INSERT INTO order_events (order_id, at, actor, kind, attempts)";
      const version = async () => JSON.stringify(await store.read((tx) => boardVersion(tx)));
      const versions = [await version()];
      await using other = new SQL({ url, max: 1 });
      await other.begin(async (tx) => {
        await tx.unsafe(`${insert} VALUES (1, 0, 'Aziza', 'start', 0)`);
        await execute(url, `${insert} VALUES (1, 0, 'Bekzod', 'start', 0)`);
        versions.push(await version());
      });
      versions.push(await version());
      expect(new Set(versions).size).toBe(3);
    },
  );

  onServer("claim each due order once", async (_server, url) => {
    const instances = await Promise.all([1, 2, 3].map(async () => serve(await open(url))));
    const [first] = instances;
    if (first === undefined) throw new Error("no instance");
    first.world.charge = () => Promise.reject(new Error("502"));
    for (let i = 0; i < 60; i++) {
      const { body } = await first.register(`+99890${1_000_000 + i}`);
      await first.order(body["user_id"]);
    }
    first.world.charges.length = 0;
    for (const { world } of instances) {
      world.charge = async () => "paid";
      world.nowMs += 60_000;
    }
    await using other = new SQL({ url, max: 1 });
    await other.begin(async (tx) => {
      await tx`SELECT FROM orders WHERE id = 60 FOR UPDATE`;
      expect(await first.app.workers.charge.runOnce()).toBe(59);
    });
    const claimed = await Promise.all(instances.map(({ app }) => app.workers.charge.runOnce()));
    await Promise.all(instances.map(({ app }) => app.idle()));
    const charged = instances.flatMap(({ world }) => world.charges.map(({ orderId }) => orderId));
    expect(claimed.reduce((sum, n) => sum + n)).toBe(1);
    expect(new Set(charged).size).toBe(60);
    expect(charged).toHaveLength(60);
  });
});
