import { Database } from "bun:sqlite";
import { describe, expect, test, setDefaultTimeout } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { backupDatabase } from "../../src/store/sqlite/backup.ts";
import { verifyDatabase } from "../../src/store/sqlite/integrity.ts";
import { openSqliteReader } from "../../src/store/sqlite/store.ts";
import { failToStart, spawnService, temporaryFolder } from "../support/process.ts";
import { mountDisk } from "../support/disk.ts";
import { PENDING } from "../support/rows.ts";
import { skip } from "../support/skip.ts";
import { openStore } from "../support/store.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

// Problems with database files, while opening them and afterwards.

/** Creates a closed database with this many users. */
async function makeDatabase(path: string, count: number) {
  const store = openStore(path);
  await store.run((tx) =>
    tx.insert(tx.tables.users).values(
      Array.from({ length: count }, (_, i) => ({
        phoneNumber: `+99890${1_000_000 + i}`,
        createdAt: 0,
        smsTriedAt: 0,
      })),
    ),
  );
  await store.close();
}

/** Drops root's privileges, because root can write anywhere. */
function becomeNobody() {
  const uid = process.geteuid?.();
  if (uid === 0) process.seteuid?.(65534);
  return { [Symbol.dispose]: () => void (uid === 0 && process.seteuid?.(0)) };
}

describe("lock", () => {
  test("exactly one of two simultaneous openers gets it", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    writeFileSync(path, "");
    const racers = [startRacer(path), startRacer(path)];
    for (let round = 0; round < 100; round++) {
      const startAt = Date.now() + 2;
      const answers = await Promise.all(racers.map((racer) => racer.ask(`${startAt}\n`)));
      expect(answers.toSorted()).toEqual(["locked", "refused"]);
      await Promise.all(racers.map((racer) => racer.ask("\n")));
    }
    await Promise.all(racers.map((racer) => racer.end()));
  });

  function startRacer(path: string) {
    const child = Bun.spawn(
      [process.execPath, join(import.meta.dir, "../support/lock-racer.ts"), path],
      { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
    );
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    return {
      async ask(line: string): Promise<string> {
        child.stdin.write(line);
        await child.stdin.flush();
        return String((await lines.read()).value).trim();
      },
      async end() {
        child.stdin.end();
        await child.exited;
      },
    };
  }

  test("can be acquired while another process is trying to acquire it", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    // While acquiring the lock, a process briefly reads the lock file.
    using halfway = new Database(`${path}.lock`, { create: true });
    halfway.run("BEGIN");
    halfway.query("SELECT * FROM sqlite_master").all();
    await openStore(path).close();
  });

  test("can't be acquired if its file is read-only, because read locks are shared", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await makeDatabase(path, 1);
    chmodSync(folder.path, 0o777);
    for (const name of ["x.db", "x.db-wal", "x.db-shm"]) {
      if (existsSync(join(folder.path, name))) chmodSync(join(folder.path, name), 0o666);
    }
    chmodSync(`${path}.lock`, 0o444);
    using _nobody = becomeNobody();
    expect(() => openStore(path)).toThrow(/lock file .*x\.db\.lock can't be written/);
  });

  test("is released if opening fails", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    writeFileSync(path, "This is a letter to my aunt.\n".repeat(100));
    expect(() => openStore(path)).toThrow(/can't be opened: file is not a database/);
    rmSync(path);
    await openStore(path).close();
  });
});

describe("openStore", () => {
  test("refuses a database migrated by a newer version, and leaves it unchanged", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await makeDatabase(path, 1);
    execute(path, "INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('next', 9e12)");
    expectRefusal(path, /a newer version of NMservis has migrated it \(6 migrations, .* has 5\)/);
  });

  test("refuses a database with a different migration history, and leaves it unchanged", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await makeDatabase(path, 1);
    execute(path, "UPDATE __drizzle_migrations SET hash = 'other' WHERE rowid = 1");
    expectRefusal(path, /was not created by NMservis, or its migration history differs/);
  });

  test("refuses a database of another program, and leaves it unchanged", () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    execute(path, "CREATE TABLE songs (title TEXT)");
    expectRefusal(path, /was not created by NMservis/);
  });

  test("migrates a database of an older version, and keeps all rows", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const first = readFileSync(
      join(import.meta.dir, "../../drizzle/sqlite/0000_first.sql"),
      "utf8",
    );
    // The first migration in its original, released form.
    const released = first.replace(
      `"orders"."status" = 'pending' OR "orders"."status" = 'paid' OR "orders"."status" = 'declined'`,
      `"orders"."status" IN ('pending', 'paid', 'declined')`,
    );
    const hash = new Bun.CryptoHasher("sha256").update(released).digest("hex");
    execute(
      path,
      ...released.split("--> statement-breakpoint"),
      "CREATE TABLE __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)",
      `INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('${hash}', 1795406529526)`,
      "INSERT INTO users (phone_number, created_at, sms_tried_at) VALUES ('+998901234567', 0, 0)",
      `INSERT INTO orders VALUES
        (3, 1, 'standard_300', 5, 'pending', NULL, 'p3', 10, NULL, NULL, 20, 1, 130),
        (4, 1, 'standard_300', 6, 'paid', 'key', 'p4', 11, 12, NULL, 21, 2, NULL),
        (5, 1, 'standard_300', 7, 'paid', NULL, 'p5', 13, 14, 15, NULL, 1, NULL)`,
      "UPDATE sqlite_sequence SET seq = 9 WHERE name = 'orders'",
    );
    const store = openStore(path);
    expect(await store.run((tx) => tx.select().from(tx.tables.users))).toHaveLength(1);
    const common = { userId: 1, tariffCode: "standard_300" };
    const later = { refund: null, cancelReason: null, address: null, comment: null };
    expect(await store.run((tx) => tx.select().from(tx.tables.orders))).toEqual([
      {
        ...common,
        ...{ id: 3, amountTiyin: 5, status: "pending", idempotencyKey: null, paymentKey: "p3" },
        ...{ createdAt: 10, settledAt: null, notifiedAt: null, dueAt: 20, attempts: 1 },
        ...{ ...later, repeatable: true, stage: null, stageAt: null },
      },
      {
        ...common,
        ...{ id: 4, amountTiyin: 6, status: "paid", idempotencyKey: "key", paymentKey: "p4" },
        ...{ createdAt: 11, settledAt: 12, notifiedAt: null, dueAt: 21, attempts: 2 },
        ...{ ...later, repeatable: false, stage: "new", stageAt: 12 },
      },
      {
        ...common,
        ...{ id: 5, amountTiyin: 7, status: "paid", idempotencyKey: null, paymentKey: "p5" },
        ...{ createdAt: 13, settledAt: 14, notifiedAt: 15, dueAt: null, attempts: 1 },
        ...{ ...later, repeatable: false, stage: "completed", stageAt: 15 },
      },
    ]);
    const next = { ...common, amountTiyin: 1, status: "pending" as const, paymentKey: "p" };
    const [row] = await store.run((tx) =>
      tx
        .insert(tx.tables.orders)
        .values({ ...next, createdAt: 0, dueAt: 1, attempts: 0, repeatable: false })
        .returning(),
    );
    // Ids are never reused, including those of deleted rows.
    expect(row?.id).toBe(10);
    await store.close();
    await openStore(path).close();
  });

  test("refuses a backup copied over a database whose -wal remains", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const backup = join(folder.path, "backup.db");
    await makeDatabase(path, 20_000);
    copyFileSync(path, backup);
    const store = openStore(path);
    await store.run((tx) => tx.delete(tx.tables.users));
    // As after kill -9: the changes are only in the WAL.
    for (const suffix of ["", "-wal"]) copyFileSync(path + suffix, `${path}.killed${suffix}`);
    await store.close();
    execute(backup, "DROP TABLE orders", "VACUUM");
    copyFileSync(backup, `${path}.killed`);
    expect(() => openStore(`${path}.killed`)).toThrow(
      /is damaged \(.+\)\. Restore a backup with nmservis restore/,
    );
  });

  /** Returns the place of an index's first page in the file. */
  function pageOf(path: string, index: string) {
    using database = new Database(path, { readonly: true });
    const [[page, bytes] = []] = database
      .query<never, [string]>(
        "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = ?",
      )
      .values(index);
    return { start: (Number(page) - 1) * Number(bytes), end: Number(page) * Number(bytes) };
  }

  test.each([
    ["users_phone_number", "INSERT INTO users VALUES (9, '+998901234567', NULL, NULL, 0, 0)"],
    ["users_phone_number", "DELETE FROM users WHERE id = 2"],
    ["users_chat_id", "UPDATE users SET chat_id = 1 WHERE id = 2"],
    ["users_chat_id", "UPDATE users SET chat_id = 8 WHERE id = 1"],
    ["orders_idempotency_key", "UPDATE orders SET user_id = 2"],
    ["orders_idempotency_key", "UPDATE orders SET idempotency_key = 'b'"],
    ["orders_due", "UPDATE orders SET due_at = 2"],
  ])("refuses a database that was not closed if %s lacks: %s", async (index, change) => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await makeDatabase(path, 3);
    const first = openStore(path);
    const order = { ...PENDING, idempotencyKey: "a" };
    await first.run((tx) => tx.insert(tx.tables.orders).values(order));
    await first.close();
    const checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    execute(path, "UPDATE users SET chat_id = 7 WHERE id = 1", checkpoint);
    const page = pageOf(path, index);
    const stale = readFileSync(path).subarray(page.start, page.end);
    execute(path, change, checkpoint);
    const damaged = readFileSync(path);
    damaged.set(stale, page.start);
    writeFileSync(path, damaged);
    const store = openStore(path);
    for (const suffix of ["", "-wal"]) copyFileSync(path + suffix, `${path}.killed${suffix}`);
    await store.close();
    expect(() => openStore(`${path}.killed`)).toThrow(
      new RegExp(`is damaged \\(.+ index ${index}.*\\)\\. Restore a backup`),
    );
  });

  test("checks a database that was not closed, and opens it if intact", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    await store.run((tx) =>
      tx
        .insert(tx.tables.users)
        .values({ phoneNumber: "+998901234567", createdAt: 0, smsTriedAt: 0 }),
    );
    for (const suffix of ["", "-wal"]) copyFileSync(path + suffix, `${path}.killed${suffix}`);
    await store.close();
    const again = openStore(`${path}.killed`);
    expect(await again.run((tx) => tx.select().from(tx.tables.users))).toHaveLength(1);
    await again.close();
  });

  test("fails on a full disk, and the service exits with the reason", async () => {
    using folder = temporaryFolder();
    const disk = join(folder.path, "disk");
    using mounted = mountDisk(disk, "64k");
    if (mounted === undefined)
      return skip("the full disk, which needs permission to mount a tmpfs");
    const { status, printed } = await failToStart({ DATABASE_URL: `file:${join(disk, "x.db")}` });
    expect(status).toBe(1);
    expect(printed).toEndWith("x.db can't be opened: database or disk is full.\n");
  });

  test("fails on a full disk, and every command names it as the reason", async () => {
    using folder = temporaryFolder();
    const [disk, backup] = [join(folder.path, "disk"), join(folder.path, "backup")];
    const path = join(disk, "x.db");
    await makeDatabase(`${disk}.db`, 1);
    using mounted = mountDisk(disk, `${Math.ceil(statSync(`${disk}.db`).size / 1024)}k`);
    if (mounted === undefined)
      return skip("the full disk, which needs permission to mount a tmpfs");
    copyFileSync(`${disk}.db`, path);
    for (const command of [["serve"], ["check"], ["backup", backup], ["orders"], ["tariffs"]]) {
      const { status, printed } = await failToStart({ DATABASE_URL: `file:${path}` }, command);
      expect([command, status, printed]).toEqual([
        command,
        1,
        expect.stringMatching(/: the disk is full: there is no space for SQLite's -shm\.\n$/),
      ]);
    }
  });

  test("names the folder's permissions if SQLite can't create its -wal and -shm there", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await makeDatabase(path, 1);
    chmodSync(path, 0o666);
    chmodSync(`${path}.lock`, 0o666);
    for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
    chmodSync(folder.path, 0o555);
    // Without it, only root could delete the folder.
    using _writable = { [Symbol.dispose]: () => chmodSync(folder.path, 0o700) };
    using _nobody = becomeNobody();
    const reason =
      /: SQLite can't open it, or can't create .*: check the permissions of its folder, and its disk's free inodes with df -i\.$/;
    expect(() => openStore(path)).toThrow(reason);
    expect(() => openSqliteReader(path)).toThrow(reason);
    expect(() => verifyDatabase(path)).toThrow(reason);
  });

  function execute(path: string, ...statements: string[]) {
    using database = new Database(path);
    for (const statement of statements) database.run(statement);
  }

  function expectRefusal(path: string, reason: RegExp) {
    const before = readFileSync(path);
    expect(() => openStore(path)).toThrow(reason);
    expect(readFileSync(path)).toEqual(before);
  }
});

describe("orphaned -wal or -journal file", () => {
  test.each(["missing", "empty"])("stops every command if the database is %s", async (state) => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    const log = readFileSync(`${path}-wal`);
    await store.close();
    const copy = join(folder.path, "copy.db");
    backupDatabase(path, copy);
    using journaled = new Database(copy);
    journaled.run("BEGIN");
    journaled.run("UPDATE tariffs SET price_tiyin = 1");
    const journal = readFileSync(`${copy}-journal`);
    expect([log.length > 0, journal.length > 0]).toEqual([true, true]);
    for (const [suffix, content] of [
      ["-wal", log],
      ["-journal", journal],
    ] as const) {
      mkdirSync(join(folder.path, suffix));
      const lost = join(folder.path, suffix, "x.db");
      writeFileSync(lost + suffix, content);
      if (state === "empty") writeFileSync(lost, "");
      const before = readdirSync(join(folder.path, suffix));
      const backup = join(folder.path, "backup");
      for (const command of [["serve"], ["check"], ["backup", backup], ["orders"], ["tariffs"]]) {
        const { status, printed } = await failToStart(
          { DATABASE_URL: `file:${lost}`, LOG_LEVEL: "error" },
          command,
        );
        expect([command, status, printed]).toEqual([
          command,
          1,
          `nmservis: The database ${lost} is ${state}, but its log ${lost}${suffix} is not: put the database file back, or restore a backup with nmservis restore.\n`,
        ]);
      }
      expect(readdirSync(join(folder.path, suffix))).toEqual(before);
      expect(readFileSync(lost + suffix)).toEqual(content);
    }
  });
});

describe("database file removed while in use", () => {
  test.each([
    ["the database is deleted", (path: string) => rmSync(path)],
    ["the database is replaced", replace],
    ["the -wal file is deleted", (path: string) => rmSync(`${path}-wal`)],
    ["the -shm file is deleted", (path: string) => rmSync(`${path}-shm`)],
    ["the .lock file is deleted", (path: string) => rmSync(`${path}.lock`)],
  ])("%s: every request that needs the data gets 503", async (_name, remove) => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await using service = await spawnService({ DATABASE_URL: `file:${path}` });
    const user = await service.userId();
    const { body } = await service.order(user, { "idempotency-key": "a" });
    remove(path);
    for (const answer of [
      await service.get("/health"),
      await service.order(user, { "idempotency-key": "b" }),
      await service.register("+998901234568"),
      await service.get(`/orders/${body["order_id"]}`),
    ]) {
      expect([answer.status, answer.body["code"]]).toEqual([503, "unavailable"]);
    }
    while (!service.printed().includes("was deleted or replaced")) await Bun.sleep(10);
    expect(service.printed().match(/STUB-PAYMENT/g)).toHaveLength(1);
    expect(await service.end("SIGTERM")).toBe(0);
  });

  function replace(path: string) {
    copyFileSync(path, `${path}.new`);
    renameSync(`${path}.new`, path);
  }

  test("the service does not start again if the database is deleted", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await using service = await spawnService({ DATABASE_URL: `file:${path}` });
    await service.userId();
    rmSync(path);
    expect(await service.end("SIGTERM")).toBe(0);
    const { status, printed } = await failToStart({ DATABASE_URL: `file:${path}` });
    expect([status, printed]).toEqual([
      1,
      expect.stringContaining(` is missing, but its log ${path}-wal is not: `),
    ]);
    expect(existsSync(path)).toBe(false);
  });

  test("the service continues once the file is back", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await using service = await spawnService({ DATABASE_URL: `file:${path}` });
    const user = await service.userId();
    const away = join(folder.path, "away");
    mkdirSync(away);
    renameSync(path, join(away, "x.db"));
    expect((await service.order(user)).status).toBe(503);
    renameSync(join(away, "x.db"), path);
    expect((await service.order(user)).status).toBe(200);
  });
});
