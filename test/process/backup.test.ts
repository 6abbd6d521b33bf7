import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  backupName,
  lastBackupAt,
  expiredBackups,
  runBackups,
} from "../../src/commands/scheduled-backups.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import { backupDatabase } from "../../src/store/sqlite/backup.ts";
import { DatabaseUnusable } from "../../src/store/errors.ts";
import { restoreDatabase } from "../support/checkpoints.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { mountDisk } from "../support/disk.ts";
import { runCommand, spawnService, temporaryFolder } from "../support/process.ts";
import { addUser, PENDING } from "../support/rows.ts";
import { serviceCommand } from "../support/service-command.ts";
import { skip } from "../support/skip.ts";
import { openStore } from "../support/store.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

/** Creates a database with one user and this many orders. */
async function makeDatabase(path: string, orders: number) {
  const store = openStore(path);
  await store.run(addUser("+998901234567"));
  await addOrders(store, orders);
  await store.close();
}

async function addOrders(store: ReturnType<typeof openStore>, count: number) {
  for (let i = 0; i < count; i++) {
    await store.run((tx) =>
      tx.insert(tx.tables.orders).values({ ...PENDING, paymentKey: crypto.randomUUID() }),
    );
  }
}

function countOrders(path: string): number {
  using database = new Database(path, { readonly: true });
  return database.query<{ n: number }, []>("SELECT count(*) AS n FROM orders").get()?.n ?? -1;
}

function refusal(work: () => unknown): string {
  try {
    work();
    return "none";
  } catch (error) {
    if (!(error instanceof DatabaseUnusable)) throw error;
    return error.message;
  }
}

describe("backup", () => {
  test("of a live database contains every order answered before it started", async () => {
    using folder = temporaryFolder();
    const DATABASE_URL = `file:${join(folder.path, "x.db")}`;
    await using service = await spawnService({ DATABASE_URL, ORDERS_PER_USER_PER_HOUR: "0" });
    const user = await service.userId();
    let answered = 0;
    let isStopped = false;
    const clients = Array.from({ length: 8 }, async (_, client) => {
      for (let n = 0; !isStopped; n++) {
        const { status } = await service.order(user, { "idempotency-key": `${client}-${n}` });
        if (status === 200) answered += 1;
      }
    });
    for (const n of [1, 2, 3]) {
      while (answered < 20 * n) await Bun.sleep(1);
      const before = answered;
      const file = join(folder.path, `backup-${n}`);
      const { status, printed } = await runCommand(["backup", file], { DATABASE_URL });
      expect([status, printed]).toEqual([
        0,
        expect.stringMatching(
          /^Backed up to .*, \d+\.\d MiB: its last order is \d+, created 20\S+Z\.\n$/,
        ),
      ]);
      expect(countOrders(file)).toBeGreaterThanOrEqual(before);
      expect(statSync(file).mode & 0o777).toBe(0o600);
    }
    isStopped = true;
    await Promise.all(clients);
  });

  test("runs at the lowest priority", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await makeDatabase(path, 1);
    const script = `
      import { getPriority } from "node:os";
      import { backup } from "${join(import.meta.dir, "../../src/commands/backup.ts")}";
      const environment = { DATABASE_URL: "file:${path}" };
      const before = getPriority();
      await backup({ environment, print() {} }, {}, ["${path}.backup"]);
      console.log(before, getPriority());
    `;
    const child = Bun.spawn([process.execPath, "-e", script], { stderr: "inherit" });
    expect(await child.stdout.text()).toMatch(/^\d+ 19\n$/);
  });

  test("overwrites nothing and names a missing database or folder", async () => {
    using folder = temporaryFolder();
    const [path, file] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    expect(refusal(() => backupDatabase(path, file))).toBe(`There is no database ${path}.`);
    await makeDatabase(path, 1);
    writeFileSync(file, "precious");
    expect(refusal(() => backupDatabase(path, file))).toContain("already exists");
    expect(readFileSync(file, "utf8")).toBe("precious");
    expect(refusal(() => backupDatabase(path, join(folder.path, "no/where")))).toContain(
      "no folder",
    );
  });

  test("succeeds after an earlier backup was killed, and removes its leftovers", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await makeDatabase(path, 3);
    for (const checkpoint of ["copied", "synced", "linked"]) {
      const file = join(folder.path, `backup-${checkpoint}`);
      expect(await dieAt(checkpoint, "backup", path, file)).toBe("SIGKILL");
      if (!existsSync(file)) backupDatabase(path, file);
      expect(countOrders(file)).toBe(3);
      if (checkpoint !== "linked") {
        expect(readdirSync(folder.path).filter((name) => name.includes(".part"))).toEqual([]);
      }
    }
  });

  test("to a full disk leaves no file behind", async () => {
    using folder = temporaryFolder();
    const [path, full] = [join(folder.path, "x.db"), join(folder.path, "full")];
    await makeDatabase(path, 500);
    using disk = mountDisk(full, "40k");
    if (disk === undefined) return skip("the full disk, which needs permission to mount a tmpfs");
    expect(refusal(() => backupDatabase(path, join(full, "backup")))).toMatch(/full/);
    expect(readdirSync(full)).toEqual([]);
  });
});

describe("restore", () => {
  test("restores the backup's orders, reuses no order id, and keeps the old database", async () => {
    using folder = temporaryFolder();
    const [path, file] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    await makeDatabase(path, 3);
    backupDatabase(path, file);
    const store = openStore(path);
    await addOrders(store, 2);
    await store.close();
    const { status, printed } = await runCommand(["restore", file], {
      DATABASE_URL: `file:${path}`,
    });
    expect(status).toBe(0);
    expect(printed).toMatch(
      /^Restored .*: its last order is 3, created \S+\.\nBefore: its last order is 5, created \S+\. The old database is kept as (.*)\.\nNewer orders are lost, and so are their keys: .*\n$/,
    );
    expect(countOrders(path)).toBe(3);
    expect(countOrders(/The old database is kept as (.*)\.\n/.exec(printed)?.[1] ?? "")).toBe(5);
    const restored = openStore(path);
    await addOrders(restored, 1);
    const [last] = await restored.read((tx) =>
      tx.select().from(tx.tables.orders).offset(3).limit(9),
    );
    expect(last?.id).toBe(6);
    await restored.close();
  });

  test("over an unreadable database skips 1,000,000 ids", async () => {
    using folder = temporaryFolder();
    const [path, file] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    await makeDatabase(path, 3);
    backupDatabase(path, file);
    writeFileSync(path, "this is not a database, but as long as one".repeat(100));
    restoreDatabase(file, path, "then");
    const store = openStore(path);
    await addOrders(store, 1);
    expect(countOrders(path)).toBe(4);
    const orders = await store.read((tx) => tx.select().from(tx.tables.orders).offset(3).limit(9));
    expect(orders.map(({ id }) => id)).toEqual([1_000_004]);
    await store.close();
    expect(readFileSync(`${path}.before-then`, "utf8")).toContain("not a database");
  });

  test("of an empty backup over an unreadable database skips 1,000,000 ids", async () => {
    using folder = temporaryFolder();
    const [path, file] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    await openStore(path).close();
    backupDatabase(path, file);
    writeFileSync(path, "this is not a database, but as long as one".repeat(100));
    restoreDatabase(file, path, "then");
    const store = openStore(path);
    expect(await store.run(addUser("+998901234567"))).toMatchObject([{ id: 1_000_001 }]);
    await store.close();
  });

  test("holds the database lock once the backup is verified, even if there was no database", async () => {
    using folder = temporaryFolder();
    const [path, file] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    await makeDatabase(path, 1);
    backupDatabase(path, file);
    const fresh = join(folder.path, "fresh.db");
    const seen: string[] = [];
    restoreDatabase(file, fresh, "then", (checkpoint) => {
      if (checkpoint === "verified") return;
      seen.push(`${checkpoint}: ${refusal(() => openStore(fresh)).replace(/.* is /, "")}`);
    });
    const checkpoints = ["locked", "copied", "raised", "kept", "renamed"];
    expect(seen).toEqual(checkpoints.map((name) => `${name}: in use by another process.`));
    expect(countOrders(fresh)).toBe(1);
    expect(existsSync(`${fresh}.before-then`)).toBe(false);
  });

  test("fails while another process reads the database; a retry keeps the old database as a separate file", async () => {
    using folder = temporaryFolder();
    const [path, file] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    await makeDatabase(path, 1);
    backupDatabase(path, file);
    const store = openStore(path);
    const reader = new Database(path, { readonly: true });
    reader.run("BEGIN");
    reader.query("SELECT * FROM orders").all();
    await addOrders(store, 1);
    await store.close();
    expect(refusal(() => restoreDatabase(file, path, "then"))).toContain("being read by another");
    expect(countOrders(path)).toBe(2);
    reader.close();
    restoreDatabase(file, path, "then");
    expect(countOrders(`${path}.before-then`)).toBe(2);
    expect(statSync(`${path}.before-then`).nlink).toBe(1);
  });

  test("refuses a database in use and a torn, foreign, empty or missing backup", async () => {
    using folder = temporaryFolder();
    const [path, file] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    await makeDatabase(path, 300);
    backupDatabase(path, file);
    const torn = join(folder.path, "torn");
    copyFileSync(file, torn);
    truncateSync(torn, statSync(torn).size - 8192);
    expect(refusal(() => restoreDatabase(torn, path, "then"))).toMatch(
      /^The backup .* is damaged: /,
    );
    const foreign = join(folder.path, "foreign");
    new Database(foreign).run("CREATE TABLE theirs (id)");
    expect(refusal(() => restoreDatabase(foreign, path, "then"))).toContain(
      "not created by NMservis",
    );
    const empty = join(folder.path, "empty");
    writeFileSync(empty, "");
    expect(refusal(() => restoreDatabase(empty, path, "then"))).toContain("there is nothing in it");
    const nothing = join(folder.path, "nothing");
    expect(refusal(() => restoreDatabase(nothing, path, "then"))).toBe(
      `There is no backup ${nothing}.`,
    );
    const store = openStore(path);
    expect(refusal(() => restoreDatabase(file, path, "then"))).toContain("in use");
    await store.close();
    expect(countOrders(path)).toBe(300);
    expect(existsSync(`${path}.before-then`)).toBe(false);
  });

  test("is atomic when killed at any checkpoint, and can be retried", async () => {
    for (const checkpoint of ["locked", "copied", "raised", "kept", "renamed"]) {
      using folder = temporaryFolder();
      const [path, file] = [join(folder.path, "x.db"), join(folder.path, "backup")];
      await makeDatabase(path, 2);
      backupDatabase(path, file);
      const store = openStore(path);
      await addOrders(store, 3);
      await store.close();
      expect(await dieAt(checkpoint, "restore", file, path)).toBe("SIGKILL");
      await openStore(path).close();
      const orders = checkpoint === "renamed" ? 2 : 5;
      expect([checkpoint, countOrders(path)]).toEqual([checkpoint, orders]);
      expect(statSync(path).nlink).toBe(1);
      restoreDatabase(file, path, "later");
      await openStore(path).close();
      expect(countOrders(path)).toBe(2);
    }
  });
});

describe("check", () => {
  test("reports an intact database with its waiting orders, or the damage", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const check = () => runCommand(["check"], { DATABASE_URL: `file:${path}` });
    await makeDatabase(path, 300);
    const intact = await check();
    expect([intact.status, intact.printed]).toEqual([
      0,
      expect.stringMatching(
        /is intact\.\nOrders: 300\.\nPending, being paid or in doubt: 300, the oldest for \d+ minutes\.\nPaid, dispatcher not notified yet: 0\.\nFree disk: \d+\.\d GiB\.\n$/,
      ),
    ]);
    truncateSync(path, statSync(path).size - 8192);
    const damaged = await check();
    expect([damaged.status, damaged.complaints]).toEqual([
      1,
      `nmservis: The database ${path} is damaged: restore a backup.\n`,
    ]);
  });

  test("reports the free space of the disk that a symbolic link to the database leads to", async () => {
    using folder = temporaryFolder();
    const mount = join(folder.path, "small");
    using disk = mountDisk(mount, "8m");
    if (disk === undefined) return skip("the small disk, which needs permission to mount a tmpfs");
    const link = join(folder.path, "x.db");
    await makeDatabase(join(mount, "x.db"), 1);
    symlinkSync(join(mount, "x.db"), link);
    const { printed } = await runCommand(["check"], { DATABASE_URL: `file:${link}` });
    expect(printed).toEndWith("Free disk: 0.0 GiB.\n");
  });
});

test.each(["backup", "restore"])(
  "%s on PostgreSQL refers to PostgreSQL's own tools",
  async (command) => {
    const DATABASE_URL = "postgres://u:s3cret@127.0.0.1:1/shop";
    expect(await runCommand([command, "file"], { DATABASE_URL })).toMatchObject({
      status: 1,
      complaints: expect.stringMatching(
        /^nmservis: A PostgreSQL database can't be .* by nmservis: use pg_/,
      ),
    });
  },
);

describe("scheduled backups", () => {
  test("are scheduled by the newest file name; only expired backups are deleted", async () => {
    const DAY_MS = 86_400_000;
    const first = Date.UTC(2026, 10, 25, 3, 4, 5);
    const names = [0, 1, 2].map((day) => backupName(first + day * DAY_MS));
    expect(names[0]).toBe("nmservis-2026-11-25T03-04-05Z.db");
    const others = ["nmservis.db", `${names[0]}.77.part`, "nmservis-2026.db", "a.txt"];
    const now = first + 2 * DAY_MS;
    expect(lastBackupAt([...others, ...names], now)).toBe(now);
    // A backup dated in the future by a wrong clock does not delay the next one.
    expect(lastBackupAt([...others, ...names], now - 1)).toBe(now - DAY_MS);
    expect(lastBackupAt(others, now)).toBeUndefined();
    const expired = (keep: number, at = now, last = names[2] ?? "") =>
      expiredBackups([...others, ...names.toReversed()], keep, at, last);
    expect(expired(2)).toEqual(names.slice(0, 1));
    expect(expired(7)).toEqual([]);
    // Backups dated in the future expire first, but never the one just made.
    expect(expired(2, first, names[0])).toEqual(names.slice(1, 2));
    expect(expired(1, first, names[0])).toEqual(names.slice(1, 3));
    expect(expired(2, first - 1, names[0])).toEqual(names.slice(1, 2));
  });

  test("are made when due, retried after a failure, and expired ones are deleted after a success", async () => {
    using folder = temporaryFolder();
    const [old, newer] = [backupName(0), backupName(1000)];
    for (const name of [old, newer, "other"]) writeFileSync(join(folder.path, name), "");
    const made: string[] = [];
    const lines: string[] = [];
    let fault: string | undefined = "no room";
    const run = async (now: number) => {
      const ending = new AbortController();
      const log = createLog({
        level: "info",
        json: false,
        write: (line) => lines.push(line),
        now: () => now,
      });
      const metrics = createMetrics("test", () => now);
      await runBackups(
        {
          folder: folder.path,
          everyMs: 10_000,
          keep: 2,
          log,
          metrics,
          now: () => now,
          async makeBackup(file) {
            made.push(file);
            // The service is stopped at this moment.
            if (fault === undefined) {
              writeFileSync(file, "");
              ending.abort();
            } else {
              setImmediate(() => ending.abort());
              throw new Error(fault);
            }
          },
        },
        ending.signal,
      );
    };
    // The first belongs to a dead process, so it is a leftover.
    const [left, mine] = [`${newer}.999999999.part`, `${newer}.${process.pid}.part`];
    const foreign = "theirs.999999999.part";
    for (const name of [left, mine, foreign]) writeFileSync(join(folder.path, name), "");
    const others = ["other", mine, foreign];
    const files = () => readdirSync(folder.path).toSorted();
    await run(11_000);
    expect(lines.join()).toMatch(/The backup failed.*no room/s);
    expect(files()).toEqual([old, newer, ...others].toSorted());
    fault = undefined;
    await run(11_000);
    expect(made).toEqual(Array(2).fill(join(folder.path, backupName(11_000))));
    expect(files()).toEqual([newer, backupName(11_000), ...others].toSorted());
  });

  test("are made by the running service, and `check` reports the time of the last one", async () => {
    using folder = temporaryFolder();
    const BACKUP_DIR = join(folder.path, "backups");
    const DATABASE_URL = `file:${join(folder.path, "x.db")}`;
    await using service = await spawnService({ DATABASE_URL, BACKUP_DIR });
    while (!service.printed().includes("Backed up to")) await Bun.sleep(10);
    const [name = ""] = readdirSync(BACKUP_DIR);
    expect(countOrders(join(BACKUP_DIR, name))).toBe(0);
    const { printed } = await runCommand(["check"], { DATABASE_URL, BACKUP_DIR });
    expect(printed).toMatch(/Last backup in .*: 20\d\d-\S+Z\.\n$/);
    expect(await service.end()).toBe(0);
  });

  test.each(["-backups", " backups"])("are made in a folder named %j", async (BACKUP_DIR) => {
    using folder = temporaryFolder();
    const inFolder = ["sh", "-c", 'cd "$0" && exec "$@"', folder.path, ...(await serviceCommand())];
    await using service = await spawnService({ DATABASE_URL: "file:x.db", BACKUP_DIR }, inFolder);
    while (!/Backed up to|backup failed/.test(service.printed())) await Bun.sleep(10);
    expect(service.printed()).toContain(`Backed up to ${BACKUP_DIR}/`);
    expect(readdirSync(join(folder.path, BACKUP_DIR))).toHaveLength(1);
  });
});

/** Creates the database of an older version, with four orders. */
function makeOldDatabase(path: string, schema: number) {
  using database = new Database(path, { create: true });
  database.run(readFileSync(join(import.meta.dir, `../fixtures/schema-${schema}.sql`), "utf8"));
}

function changeOrders(path: string, statement: string) {
  using database = new Database(path);
  database.run(statement);
}

test("migration keeps one copy of the old database", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  makeOldDatabase(path, 3);
  await openStore(path).close();
  const [kept = ""] = readdirSync(folder.path).filter((name) => name.includes(".before-schema-"));
  expect(countOrders(join(folder.path, kept))).toBe(4);
  await openStore(path).close();
  expect(readdirSync(folder.path).filter((name) => name.includes(".before-"))).toEqual([kept]);
});

test("migration replaces the copy of an earlier migration that was undone", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  makeOldDatabase(path, 4);
  await openStore(path).close();
  const kept = `${path}.before-schema-5`;
  expect(countOrders(kept)).toBe(4);
  restoreDatabase(kept, path, "undone");
  changeOrders(path, "DELETE FROM orders WHERE id = 7");
  await openStore(path).close();
  expect(countOrders(kept)).toBe(3);
});

test("migration keeps the copy of an undone migration until it has made a new one", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const kept = `${path}.before-schema-5`;
  makeOldDatabase(path, 4);
  await openStore(path).close();
  restoreDatabase(kept, path, "undone");
  changeOrders(path, "UPDATE orders SET user_id = user_id + 1000");
  expect(() => openStore(path)).toThrow("is damaged: 4 rows refer to missing rows.");
  expect(countOrders(kept)).toBe(4);
  changeOrders(path, "UPDATE orders SET user_id = user_id - 1000");
  changeOrders(path, "DELETE FROM orders WHERE id = 7");
  // As an interrupted start leaves it.
  writeFileSync(`${kept}.new`, "half a copy");
  await openStore(path).close();
  expect(countOrders(kept)).toBe(3);
  expect(existsSync(`${kept}.new`)).toBe(false);
});

test("migration keeps the copy beside the database, not beside a symbolic link to it", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const links = join(folder.path, "links");
  mkdirSync(links);
  symlinkSync(path, join(links, "x.db"));
  makeOldDatabase(path, 4);
  await openStore(join(links, "x.db")).close();
  expect(countOrders(`${path}.before-schema-5`)).toBe(4);
  expect(readdirSync(links)).toEqual(["x.db"]);
});

/** Runs a backup or restore that kills itself at the checkpoint; returns the signal. */
async function dieAt(checkpoint: string, action: string, from: string, to: string) {
  const script = join(import.meta.dir, "../support/kill-at-checkpoint.ts");
  const child = Bun.spawn([process.execPath, script, action, from, to, checkpoint], {
    stderr: "pipe",
  });
  await child.exited;
  return child.signalCode;
}
