import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { backupDatabase } from "../../src/store/sqlite/backup.ts";
import { verifyDatabase } from "../../src/store/sqlite/integrity.ts";
import { isNew, migrate } from "../../src/store/sqlite/migrations.ts";
import { openSqliteReader } from "../../src/store/sqlite/store.ts";
import { createLog } from "../../src/log.ts";
import { moveDatabase } from "../../src/store/move.ts";
import { restoreDatabase } from "../support/checkpoints.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { mountDisk } from "../support/disk.ts";
import { runCommand, temporaryFolder } from "../support/process.ts";
import { addUser, allUsers, databaseRefusal } from "../support/rows.ts";
import { skip } from "../support/skip.ts";
import { openStore } from "../support/store.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const ROOT = join(import.meta.dir, "../..");

const log = createLog({ level: "error", json: false, write: () => {}, now: () => 0 });

function execute(path: string, ...statements: string[]) {
  using database = new Database(path);
  for (const statement of statements) database.run(statement);
}

describe("interrupted first start", () => {
  const MIGRATIONS_TABLE =
    "CREATE TABLE __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)";

  test.each<[string, (path: string) => void]>([
    ["an empty file", (path) => writeFileSync(path, "")],
    ["a file in WAL mode", (path) => execute(path, "PRAGMA journal_mode = WAL")],
    ["a rollback journal", (path) => killInTransaction(path, [])],
    [
      "an earlier version's empty migrations table",
      (path) => execute(path, "PRAGMA journal_mode = WAL", MIGRATIONS_TABLE),
    ],
  ])("that left %s counts as a new database", async (_name, leave) => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    leave(path);
    expect(await databaseRefusal(() => openSqliteReader(path))).toMatch(
      /has no tables yet: start the service/,
    );
    expect(verifyDatabase(path)).toMatchObject({ isNew: true, findings: [] });
    const backup = join(folder.path, "backup");
    const nowhere = "postgres://u@127.0.0.1:1/none";
    const dependencies = { log, elapsed: () => 0, onProgress: () => {} };
    for (const use of [
      () => backupDatabase(path, backup),
      () => restoreDatabase(path, backup, "then"),
      () => moveDatabase(path, nowhere, dependencies),
    ]) {
      expect(await databaseRefusal(use)).toMatch(/ has no tables( yet)?: there is nothing /);
    }
    const store = openStore(path);
    await store.run(addUser("+998901234567"));
    await store.close();
    expect(readdirSync(folder.path).filter((name) => /backup|before/.test(name))).toEqual([]);
    expect(verifyDatabase(path)).toMatchObject({ isNew: false, findings: [] });
  });

  test("of an earlier version continues with the next migration", async () => {
    const journal = readFileSync(join(ROOT, "drizzle/sqlite/meta/_journal.json"), "utf8");
    const { entries }: { entries: { tag: string; when: number }[] } = JSON.parse(journal);
    for (let count = 1; count < entries.length; count++) {
      using folder = temporaryFolder();
      const path = join(folder.path, "x.db");
      execute(path, "PRAGMA journal_mode = WAL", MIGRATIONS_TABLE);
      for (const { tag, when } of entries.slice(0, count)) {
        const sql = readFileSync(join(ROOT, `drizzle/sqlite/${tag}.sql`), "utf8");
        const hash = new Bun.CryptoHasher("sha256").update(sql).digest("hex");
        execute(
          path,
          ...sql.split("--> statement-breakpoint"),
          `INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('${hash}', ${when})`,
        );
      }
      expect(verifyDatabase(path)).toMatchObject({ isNew: false, findings: [] });
      const store = openStore(path);
      await store.run(addUser("+998901234567"));
      await store.close();
    }
  });

  test("creates all tables or none when the disk fills up at any page", () => {
    let pages = 1;
    for (let isDone = false; !isDone; pages++) {
      using database = new Database(":memory:");
      database.run(`PRAGMA max_page_count = ${pages}`);
      try {
        isDone = migrate(database);
      } catch (error) {
        expect(String(error)).toContain("full");
      }
      expect([pages, isNew(database)]).toEqual([pages, !isDone]);
    }
    expect(pages).toBeGreaterThan(10);
  });

  test("on a full disk succeeds once there is space", async () => {
    for (const size of ["4k", "8k", "16k", "48k", "80k", "120k"]) {
      using folder = temporaryFolder();
      const disk = join(folder.path, "disk");
      using mounted = mountDisk(disk, size);
      if (mounted === undefined)
        return skip("the full disk, which needs permission to mount a tmpfs");
      const path = join(disk, "x.db");
      expect(await databaseRefusal(() => openStore(path))).toMatch(
        /can't be opened: .*(full|I\/O error)/,
      );
      Bun.spawnSync(["mount", "-o", "remount,size=4m", disk]);
      const store = openStore(path);
      await store.run(addUser("+998901234567"));
      await store.close();
      expect(readdirSync(disk).filter((name) => name.includes("before"))).toEqual([]);
    }
  });

  test("is not reported as damage by `check`", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    execute(path, "PRAGMA journal_mode = WAL");
    const { status, printed, complaints } = await runCommand(["check"], {
      DATABASE_URL: `file:${path}`,
    });
    expect([status, complaints]).toEqual([0, ""]);
    expect(printed).toMatch(
      /^The database \S+ is new: it has no tables yet\. .*\nFree disk: .*\n$/,
    );
  });
});

/** Creates the files left by a kill during a rollback-journal transaction. */
function killInTransaction(path: string, before: readonly string[]) {
  const living = `${path}.living`;
  using database = new Database(living);
  for (const statement of ["PRAGMA cache_size = 1", ...before, "BEGIN"]) database.run(statement);
  database.run("CREATE TABLE many (text)");
  for (let i = 0; i < 20; i++) database.run("INSERT INTO many VALUES (?)", ["x".repeat(4000)]);
  expect(statSync(living).size).toBeGreaterThan(4096);
  for (const suffix of ["", "-journal"]) copyFileSync(living + suffix, path + suffix);
  database.run("ROLLBACK");
}

describe("rollback journal", () => {
  test("left by a kill is rolled back by every command", async () => {
    using folder = temporaryFolder();
    const [path, backup] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    {
      const store = openStore(path);
      for (let i = 0; i < 3; i++) await store.run(addUser(`+99890123456${i}`));
      await store.close();
    }
    backupDatabase(path, backup);
    const uses: ((killed: string) => unknown)[] = [
      (killed) => expect(verifyDatabase(killed).findings).toEqual([]),
      (killed) => openSqliteReader(killed).close(),
      (killed) => backupDatabase(killed, `${killed}.backup`),
      (killed) => restoreDatabase(backup, killed, "then"),
      (killed) => openStore(killed).close(),
    ];
    for (const [at, use] of uses.entries()) {
      const killed = join(folder.path, `killed-${at}`);
      copyFileSync(backup, `${killed}.living`);
      killInTransaction(killed, []);
      await use(killed);
      const store = openStore(killed);
      expect(await store.run(allUsers)).toHaveLength(3);
      await store.close();
    }
  });
});
