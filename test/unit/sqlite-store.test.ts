import { Database } from "bun:sqlite";
import { describe, expect, jest, setDefaultTimeout, test } from "bun:test";
import { cpSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { addUser, allUsers, PENDING, refusal } from "../support/rows.ts";
import { openMemoryStore, openStore } from "../support/store.ts";
import { createLog } from "../../src/log.ts";
import { openSqliteStore } from "../../src/store/sqlite/store.ts";
import type { Tx } from "../../src/store/store.ts";
import { temporaryFolder } from "../support/process.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const ROOT = join(import.meta.dir, "../..");

const MEBIBYTE = 1024 ** 2;

/** Bytes that this process has written, including to deleted files. Needs Linux. */
function bytesWritten(): number {
  return Number(/^wchar: (\d+)/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);
}

describe("SQLite transaction", () => {
  test("is committed when its promise resolves", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    using other = new Database(path, { readonly: true });
    const count = other.query<{ n: number }, []>("SELECT count(*) AS n FROM users");
    const addOne = store.batch(async (tx, phoneNumbers: readonly string[]) => {
      for (const phoneNumber of phoneNumbers) await addUser(phoneNumber)(tx);
      return phoneNumbers;
    });
    const counted = await Promise.all([
      store.run(addUser("+998900000001")).then(() => count.get()?.n),
      addOne("+998900000002").then(() => count.get()?.n),
    ]);
    expect(counted).toEqual([2, 2]);
    await store.close();
  });

  test("whose COMMIT fails does not fail others in its batch", async () => {
    const store = openStore();
    const orderOfUnknownUser = async (tx: Tx) => {
      // `as`: the connection inside the store, to make the COMMIT fail instead of the INSERT.
      const { $client } = tx as unknown as { $client: Database };
      $client.run("PRAGMA defer_foreign_keys = ON");
      await tx.insert(tx.tables.orders).values({ ...PENDING, userId: 99 });
    };
    const settled = await Promise.allSettled([
      store.run(addUser("+998900000001")),
      store.run(orderOfUnknownUser),
      store.run(addUser("+998900000002")),
    ]);
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await store.run(allUsers)).toHaveLength(2);
    expect(await store.run((tx) => tx.select().from(tx.tables.orders))).toEqual([]);
  });

  test("is rejected with Unavailable if the files disappear while its batch is retried one by one", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    let runs = 0;
    const settled = await Promise.allSettled([
      store.run(async () => {
        runs += 1;
        if (runs === 2) rmSync(`${path}-shm`);
      }),
      store.run(() => Promise.reject(new Error("refused"))),
      store.run(allUsers),
      store.run(allUsers),
    ]);
    const rejected = { status: "rejected", reason: { name: "Unavailable" } };
    expect(settled).toMatchObject([{ status: "fulfilled" }, rejected, rejected, rejected]);
    await store.close();
  });

  test("of a ping changes nothing, but is written to the log", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    const before = statSync(`${path}-wal`).size;
    await store.ping();
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(before);
    await store.close();
  });

  test("that is slow is not interleaved with another transaction", async () => {
    const store = openStore();
    const order: string[] = [];
    const slow = store.run(async (tx) => {
      order.push("slow begins");
      await tx.select().from(tx.tables.users);
      await Bun.sleep(1);
      order.push("slow ends");
    });
    const quick = store.run(async () => void order.push("quick"));
    await Promise.all([slow, quick]);
    expect(order).toEqual(["slow begins", "slow ends", "quick"]);
  });

  test("is rejected after close(), which waits for running transactions", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    const running = store.run(addUser("+998900000001"));
    await store.close();
    expect(await running).toMatchObject([{ id: 1 }]);
    expect(await refusal(store.run(allUsers))).toBe("Unavailable: the store is closed");
    expect(Bun.file(`${path}-wal`).size).toBe(0);
  });

  test("is rejected with Unavailable if the disk is full, while smaller transactions commit", async () => {
    const store = openStore();
    await store.run(async (tx) => {
      // `as`: the connection inside the store, to limit the size of the database.
      const { $client } = tx as unknown as { $client: Database };
      const { page_count } = $client
        .query<{ page_count: number }, []>("PRAGMA page_count")
        .get() ?? { page_count: 0 };
      $client.run(`PRAGMA max_page_count = ${page_count + 2}`);
    });
    const big = (tx: Tx) =>
      tx.insert(tx.tables.users).values({
        phoneNumber: "+998900000002",
        fullName: "x".repeat(100_000),
        createdAt: 0,
        smsTriedAt: 0,
      });
    const settled = await Promise.allSettled([
      store.run(addUser("+998900000001")),
      store.run(big),
      store.run(addUser("+998900000003")),
    ]);
    expect(settled).toMatchObject([
      { status: "fulfilled" },
      { status: "rejected", reason: { name: "Unavailable", cause: { code: "SQLITE_FULL" } } },
      { status: "fulfilled" },
    ]);
    expect(await store.run(allUsers)).toHaveLength(2);
  });
});

describe("batch that can wait", () => {
  /** Opens a store that counts its commits, with a batch that can wait. */
  function countingStore() {
    const commits = { count: 0 };
    const store = openMemoryStore({
      startCommit: () => () => void (commits.count += 1),
      countBatch: () => {},
    });
    const canWait = true;
    const add = store.batch(async (tx, phoneNumbers: readonly string[]) => {
      for (const phoneNumber of phoneNumbers) await addUser(phoneNumber)(tx);
      return phoneNumbers;
    }, canWait);
    return { store, commits, add };
  }

  test("joins the next transaction instead of committing before it", async () => {
    const { store, commits, add } = countingStore();
    // The turns may take longer than the batch waits.
    jest.useFakeTimers();
    const added = add("+998900000001");
    jest.useRealTimers();
    // More turns than a batch collects transactions in.
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(commits.count).toBe(0);
    await Promise.all([store.run(addUser("+998900000002")), added]);
    expect(commits.count).toBe(1);
    expect(await store.run(allUsers)).toHaveLength(2);
    await store.close();
  });

  test("waits its full time, even if an earlier wait ended early", async () => {
    const { store, commits, add } = countingStore();
    jest.useFakeTimers();
    try {
      const first = add("+998900000001");
      jest.advanceTimersByTime(3);
      await Promise.all([store.run(addUser("+998900000002")), first]);
      const second = add("+998900000003");
      jest.advanceTimersByTime(4);
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(commits.count).toBe(1);
      jest.advanceTimersByTime(1);
      expect(await second).toBe("+998900000003");
      expect(commits.count).toBe(2);
    } finally {
      jest.useRealTimers();
    }
    await store.close();
  });

  test("does not wait once it has 32 items", async () => {
    const { store, commits, add } = countingStore();
    for (let item = 0; item < 32; item++) void add(`+9989000000${item + 10}`);
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(commits.count).toBe(1);
    await store.close();
  });

  test("commits without another transaction, and before the store is closed", async () => {
    const { store, commits, add } = countingStore();
    expect(await add("+998900000001")).toBe("+998900000001");
    expect(commits.count).toBe(1);
    const [last] = await Promise.all([add("+998900000002"), store.close()]);
    expect(last).toBe("+998900000002");
    expect(commits.count).toBe(2);
    expect(await refusal(add("+998900000003"))).toBe("Unavailable: the store is closed");
  });
});

test("a batch whose BEGIN fails is rejected, and later items are batched again", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const store = openStore(path);
  const batches: number[][] = [];
  const echo = store.batch(async (_tx, items: readonly number[]) => {
    batches.push([...items]);
    return items;
  });
  using otherWriter = new Database(path);
  otherWriter.run("BEGIN IMMEDIATE");
  const refused = await Promise.allSettled([echo(1), echo(2)]);
  expect(refused.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  otherWriter.run("ROLLBACK");
  expect(await Promise.all([echo(3), echo(4), echo(5)])).toEqual([3, 4, 5]);
  expect(batches).toEqual([[3, 4, 5]]);
});

describe("while another process writes", () => {
  test("a transaction waits, and reads do not", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    await store.run(addUser("+998900000001"));
    using otherWriter = new Database(path);
    otherWriter.run("BEGIN IMMEDIATE");
    let isWritten = false;
    const waiting = store.run(addUser("+998900000002")).then(() => (isWritten = true));
    // Enough time for several attempts of the transaction.
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      expect(await store.read((tx) => tx.select().from(tx.tables.users))).toHaveLength(1);
    }
    expect(isWritten).toBe(false);
    otherWriter.run("COMMIT");
    await waiting;
    expect(await store.read((tx) => tx.select().from(tx.tables.users))).toHaveLength(2);
    await store.close();
  });

  test("waiting transactions are rejected with Unavailable if the other writer takes too long", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    using otherWriter = new Database(path);
    otherWriter.run("BEGIN IMMEDIATE");
    const settled = await Promise.allSettled(Array.from({ length: 20 }, () => store.run(allUsers)));
    expect(settled.map(({ status }) => status)).toEqual(Array(20).fill("rejected"));
    expect(settled[0]).toMatchObject({
      reason: { name: "Unavailable", cause: { code: "SQLITE_BUSY" } },
    });
    otherWriter.run("ROLLBACK");
    expect(await store.run(allUsers)).toEqual([]);
    await store.close();
  });
});

describe("database", () => {
  test("is created with WAL, full syncs, foreign keys and strict tables", async () => {
    using folder = temporaryFolder();
    const store = openStore(join(folder.path, "x.db"));
    await store.run(async (tx) => {
      const { $client } = tx as unknown as { $client: Database };
      const pragma = (name: string) =>
        Object.values($client.query(`PRAGMA ${name}`).get() ?? {})[0];
      expect(pragma("journal_mode")).toBe("wal");
      expect(pragma("synchronous")).toBe(2);
      expect(pragma("foreign_keys")).toBe(1);
      const tables = $client.query("PRAGMA table_list").all() as { name: string; strict: number }[];
      const ours = tables.filter(({ name }) => !/^(sqlite|__drizzle)_/.test(name));
      expect(ours.length).toBeGreaterThanOrEqual(3);
      // drizzle-kit does not generate STRICT: it is edited into each migration.
      expect(ours.filter(({ strict }) => strict !== 1)).toEqual([]);
    });
    await store.close();
  });

  test("keeps its rows when it is reopened", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "deep/er/x.db");
    const first = openStore(path);
    await first.run(addUser("+998900000001"));
    await first.run((tx) => tx.update(tx.tables.tariffs).set({ priceTiyin: 5 }));
    await first.close();
    const second = openStore(path);
    expect(await second.run(allUsers)).toHaveLength(1);
    expect(await second.run((tx) => tx.select().from(tx.tables.tariffs))).toMatchObject([
      { priceTiyin: 5 },
    ]);
    await second.close();
  });

  test("warns if a reader lets the WAL grow, and shrinks it afterwards", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const lines: string[] = [];
    const log = createLog({
      level: "warn",
      json: false,
      write: (line) => lines.push(line),
      now: () => 0,
    });
    const store = openSqliteStore(path, log, () => performance.now());
    const write = (i: number) =>
      store.run((tx) =>
        tx.insert(tx.tables.users).values({
          phoneNumber: `+99890${i}`,
          fullName: "x".repeat(4_000_000),
          createdAt: 0,
          smsTriedAt: 0,
        }),
      );
    const reader = new Database(path, { readonly: true });
    reader.run("BEGIN");
    reader.query("SELECT * FROM tariffs").all();
    for (let i = 0; i < 20; i++) await write(i);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^Warning: \S+x\.db-wal has grown to \d\d MiB: a reader has kept \S+ open for too long/,
    );
    reader.close();
    // The first write checkpoints the WAL, the second restarts it.
    await store.run(addUser("+998900000001"));
    await store.run(addUser("+998900000002"));
    expect(statSync(`${path}-wal`).size).toBeLessThanOrEqual(16 * MEBIBYTE);
    await store.close();
  });

  test("checkpoints its WAL at 8 MiB", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    const fullName = "x".repeat(MEBIBYTE);
    for (let i = 0; i < 12; i++) {
      const user = { phoneNumber: `+99890${i}`, fullName, createdAt: 0, smsTriedAt: 0 };
      await store.run((tx) => tx.insert(tx.tables.users).values(user));
    }
    const bytes = statSync(`${path}-wal`).size;
    expect(bytes).toBeGreaterThan(7.8 * MEBIBYTE);
    expect(bytes).toBeLessThan(9.2 * MEBIBYTE);
    await store.close();
  });

  test.skipIf(process.platform !== "linux")("batch writes no temporary file", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    {
      using database = new Database(path);
      database.run(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
        INSERT INTO users (phone_number, created_at, sms_tried_at)
        SELECT '+9989' || i, 0, 0 FROM n`);
    }
    const insertOrders = (key: string, count: number) => {
      const orders = Array.from({ length: count }, (_, at) => ({
        ...PENDING,
        userId: (at + 1) * (2000 / count),
        idempotencyKey: key.padEnd(200, "."),
      }));
      return store.run((tx) => tx.insert(tx.tables.orders).values(orders));
    };
    await insertOrders("first", 2000);
    const [logBefore, writtenBefore] = [statSync(`${path}-wal`).size, bytesWritten()];
    await insertOrders("second", 500);
    const log = statSync(`${path}-wal`).size - logBefore;
    // So much that SQLite would use a file.
    expect(log).toBeGreaterThan(500_000);
    expect(bytesWritten() - writtenBefore).toBeLessThan(1.2 * log);
    await store.close();
  });

  test("is refused while it is open elsewhere, and opens again after close()", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    expect(() => openStore(path)).toThrow("in use by another process");
    await store.close();
    await openStore(path).close();
  });

  test("is refused with a clear message if the file is not a database", () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    writeFileSync(path, "This is a letter to my aunt.\n".repeat(100));
    expect(() => openStore(path)).toThrow(/can't be opened: file is not a database/);
  });

  test("is refused while it is open through a symlink that had no target", async () => {
    using folder = temporaryFolder();
    const link = join(folder.path, "link.db");
    symlinkSync("x.db", link);
    const store = openStore(link);
    expect(() => openStore(join(folder.path, "x.db"))).toThrow("in use by another process");
    await store.close();
  });

  test("is refused with a clear message if it is a folder, or its lock is not a database", () => {
    using folder = temporaryFolder();
    expect(() => openStore(folder.path)).toThrow("it is a folder");
    const path = join(folder.path, "x.db");
    writeFileSync(`${path}.lock`, "This is a letter to my aunt.\n".repeat(100));
    expect(() => openStore(path)).toThrow(/can't be opened: file is not a database/);
  });

  test.each([
    ["sqlite", "sqlite"],
    ["postgresql", "postgres"],
  ])("has migrations for %s that match the schema", async (dialect, name) => {
    using folder = temporaryFolder();
    cpSync(join(ROOT, "drizzle", name), join(folder.path, name), { recursive: true });
    const generate = Bun.spawn(
      [
        process.execPath,
        "x",
        "drizzle-kit",
        "generate",
        `--dialect=${dialect}`,
        "--casing=snake_case",
        `--schema=src/store/${name}/schema.ts`,
        // Relative to the working directory: drizzle-kit accepts no absolute path.
        `--out=${relative(ROOT, join(folder.path, name))}`,
      ],
      { cwd: ROOT, stdout: "pipe", stderr: "pipe" },
    );
    const [printed, errors] = await Promise.all([generate.stdout.text(), generate.stderr.text()]);
    expect(printed + errors).toContain("No schema changes");
  });
});
