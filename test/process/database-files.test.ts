import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createLog } from "../../src/log.ts";
import { backupDatabase } from "../../src/store/sqlite/backup.ts";
import { moveDatabase } from "../../src/store/move.ts";
import { watchDatabaseFiles } from "../../src/store/sqlite/database-files.ts";
import { readHeader, watchHeaders } from "../../src/store/sqlite/file-headers.ts";
import { openSqliteReader } from "../../src/store/sqlite/store.ts";
import { restoreDatabase } from "../support/checkpoints.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { mountDisk, mountFile } from "../support/disk.ts";
import { runCommand, spawnService, temporaryFolder } from "../support/process.ts";
import { addUser, allUsers, databaseRefusal } from "../support/rows.ts";
import { skip } from "../support/skip.ts";
import { openStore } from "../support/store.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

/** Creates a database with one user. */
async function makeDatabase(path: string) {
  const store = openStore(path);
  await store.run(addUser("+998901234567"));
  await store.close();
}

describe("database path", () => {
  const log = createLog({ level: "error", json: false, write: () => {}, now: () => 0 });
  const dependencies = { log, elapsed: () => 0, onProgress: () => {} };

  /** Returns every way to open the database at the path, including a restore of `backup`. */
  const waysInto = (path: string, backup: string): (() => unknown)[] => [
    () => openStore(path),
    () => openSqliteReader(path),
    () => backupDatabase(path, `${path}.backup`),
    () => restoreDatabase(backup, path, "then"),
    () => moveDatabase(path, "postgres://u@127.0.0.1:1/none", dependencies),
  ];

  test("with two hard links is refused by all commands under either name", async () => {
    using folder = temporaryFolder();
    const [path, backup] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    const other = join(folder.path, "other.db");
    await makeDatabase(path);
    backupDatabase(path, backup);
    linkSync(path, other);
    for (const open of [...waysInto(path, backup), ...waysInto(other, backup)]) {
      expect(await databaseRefusal(open)).toMatch(
        / has 2 names \(hard links\), .* remove all names but one/,
      );
    }
    const check = await runCommand(["check"], { DATABASE_URL: `file:${other}` });
    expect([check.status, check.complaints]).toEqual([1, expect.stringContaining("hard links")]);
    rmSync(other);
    await openStore(path).close();
  });

  test("mounted as a single file is refused by all commands", async () => {
    using folder = temporaryFolder();
    const [path, backup] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    const mountPoint = join(folder.path, "mounted.db");
    await makeDatabase(path);
    backupDatabase(path, backup);
    using mounted = mountFile(path, mountPoint);
    if (mounted === undefined) return skip("the mounted file, which needs permission to mount");
    const link = join(folder.path, "link.db");
    symlinkSync("mounted.db", link);
    for (const open of [...waysInto(mountPoint, backup), ...waysInto(link, backup)]) {
      expect(await databaseRefusal(open)).toMatch(
        / is mounted as a single file, .* mount its folder/,
      );
    }
    const check = await runCommand(["check"], { DATABASE_URL: `file:${mountPoint}` });
    expect([check.status, check.complaints]).toEqual([1, expect.stringContaining("single file")]);
    // The file itself is on the same mount as its folder, so it opens.
    await openStore(path).close();
  });

  test("may be a symbolic link or in a mounted folder", async () => {
    using folder = temporaryFolder();
    const link = join(folder.path, "link.db");
    const disk = join(folder.path, "disk");
    using _mounted = mountDisk(disk, "4m");
    if (!existsSync(disk)) mkdirSync(disk);
    symlinkSync(join(disk, "x.db"), link);
    await makeDatabase(link);
    await openStore(join(disk, "x.db")).close();
  });

  test("that is not a regular file is refused with a message", async () => {
    using folder = temporaryFolder();
    const [path, backup] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    await makeDatabase(path);
    backupDatabase(path, backup);
    const pipe = join(folder.path, "pipe");
    if (!Bun.spawnSync(["mkfifo", pipe]).success) return skip("the pipe, which needs mkfifo");
    for (const [place, reason] of [
      [pipe, "it is not a regular file"],
      [folder.path, "it is a folder"],
      [join(path, "x.db"), "not a directory (ENOTDIR)"],
      [join(folder.path, "x".repeat(300)), "name too long (ENAMETOOLONG)"],
    ] as const) {
      for (const open of waysInto(place, backup)) {
        expect(await databaseRefusal(open)).toContain(` can't be opened: ${reason}.`);
      }
    }
  });
});

describe("the check of the files in use", () => {
  /** Creates files in a folder that has not changed recently, and a check of them. */
  function watch(folder: string, links: { database?: string; wal?: string } = {}) {
    const at = (name: string) => join(folder, name);
    mkdirSync(folder, { recursive: true });
    const side = { wal: at("x.db-wal"), sharedMemory: at("x.db-shm"), lock: at("x.db.lock") };
    const paths = { database: at("x.db"), ...side, ...links };
    for (const path of Object.values(paths)) writeFileSync(path, "");
    utimesSync(folder, 1, 1);
    const clock = { ms: 0 };
    const sizes: number[] = [];
    const header = { check: () => {} };
    const check = watchDatabaseFiles(
      paths,
      () => clock.ms,
      () => header.check(),
      (bytes) => sizes.push(bytes),
    );
    clock.ms = 60_000;
    check();
    return { paths, clock, check, sizes, header };
  }

  describe.each(["database", "wal", "sharedMemory", "lock"] as const)("of the %s", (name) => {
    test("finds at once that it was deleted", () => {
      using folder = temporaryFolder();
      const { paths, check } = watch(folder.path);
      rmSync(paths[name]);
      for (let count = 0; count < 3; count++) expect(check).toThrow("was deleted or replaced");
    });

    test("finds at once that it was replaced, even if the folder's time is set back", () => {
      using folder = temporaryFolder();
      const { paths, check } = watch(folder.path);
      writeFileSync(`${paths[name]}.new`, "");
      renameSync(`${paths[name]}.new`, paths[name]);
      utimesSync(folder.path, 1, 1);
      for (let count = 0; count < 3; count++) expect(check).toThrow("was deleted or replaced");
    });
  });

  test("finds at once that the folder was replaced", () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "data");
    const { check, paths } = watch(path);
    renameSync(path, `${path}.old`);
    mkdirSync(path);
    for (const file of Object.values(paths)) writeFileSync(file, "");
    expect(check).toThrow("was deleted or replaced");
  });

  /**
   * Creates files like `watch`, one of them a link to a link to its file. `changeLink` changes the
   * second link; no watched file is in its folder.
   */
  function watchLinked(folder: string, name: "database" | "wal") {
    for (const part of ["a", "b", "c"]) mkdirSync(join(folder, part));
    const [first, second] = [join(folder, "a", "link"), join(folder, "b", "link")];
    for (const file of ["one", "two"]) writeFileSync(join(folder, "c", file), "");
    symlinkSync(join(folder, "c", "one"), second);
    symlinkSync(second, first);
    const changeLink = () => {
      rmSync(second);
      symlinkSync(join(folder, "c", "two"), second);
    };
    return { ...watch(join(folder, "c"), { [name]: first }), changeLink };
  }

  test("finds at once that the second of two links to the database was changed", () => {
    using folder = temporaryFolder();
    const { check, changeLink } = watchLinked(folder.path, "database");
    changeLink();
    for (let count = 0; count < 3; count++) expect(check).toThrow("was deleted or replaced");
  });

  test("finds within a second what does not change the folder", () => {
    using folder = temporaryFolder();
    const { check, clock, changeLink } = watchLinked(folder.path, "wal");
    changeLink();
    check();
    clock.ms += 1000;
    expect(check).toThrow("was deleted or replaced");
  });

  test("is complete for two seconds after the folder has changed", () => {
    using folder = temporaryFolder();
    const { check, clock, changeLink } = watchLinked(folder.path, "wal");
    writeFileSync(join(folder.path, "c", "backup"), "");
    check();
    clock.ms += 2000;
    check();
    changeLink();
    expect(check).toThrow("was deleted or replaced");
  });

  test("is complete after a failed one", () => {
    using folder = temporaryFolder();
    const { check, clock, header } = watch(folder.path);
    writeFileSync(join(folder.path, "backup"), "");
    check();
    clock.ms += 2400;
    check();
    header.check = () => {
      throw new Error("overwritten");
    };
    for (let count = 0; count < 5; count++) {
      expect(check).toThrow("overwritten");
      clock.ms += 100;
    }
  });

  test("is complete if asked for", () => {
    using folder = temporaryFolder();
    const { check, changeLink } = watchLinked(folder.path, "wal");
    changeLink();
    expect(() => check(true)).toThrow("was deleted or replaced");
  });

  test("reports once that the WAL has become large", () => {
    using folder = temporaryFolder();
    const { check, clock, paths, sizes } = watch(folder.path);
    truncateSync(paths.wal, 65 * 1024 ** 2);
    for (let count = 0; count < 3; count++) {
      clock.ms += 1000;
      check();
    }
    expect(sizes).toEqual([65 * 1024 ** 2]);
  });
});

test.each([
  ["deleted", (path: string) => rmSync(path)],
  ["replaced by a copy", (path: string) => renameSync(`${path}.new`, path)],
])("store keeps its log if the database was %s just before it closes", async (_how, remove) => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const store = openStore(path);
  await store.run(addUser("+998901234567"));
  for (const copy of [`${path}.new`, `${path}.old`]) copyFileSync(path, copy);
  remove(path);
  await store.close();
  // Without the log, this older copy has no users.
  renameSync(`${path}.old`, path);
  const next = openStore(path);
  expect(await next.run(allUsers)).toHaveLength(1);
  await next.close();
});

describe("database overwritten while in use", () => {
  /** Copies the content, like `cp`, so that the path keeps its file. */
  const overwrite = (path: string, content: Uint8Array) => writeFileSync(path, content);

  test("with a backup: every request gets 503, and the log with the latest orders is kept", async () => {
    using folder = temporaryFolder();
    const [path, backup] = [join(folder.path, "x.db"), join(folder.path, "backup")];
    {
      await using service = await spawnService({ DATABASE_URL: `file:${path}` });
      const user = await service.userId();
      await service.order(user, { "idempotency-key": "before" });
      backupDatabase(path, backup);
      await service.order(user, { "idempotency-key": "after" });
      overwrite(path, readFileSync(backup));
      while ((await service.get("/health")).status === 200) await Bun.sleep(10);
      for (let count = 0; count < 3; count++) {
        const { status, body } = await service.order(user, { "idempotency-key": "late" });
        expect([status, body["code"]]).toEqual([503, "unavailable"]);
      }
      expect(await service.end("SIGTERM")).toBe(0);
      expect(service.printed()).toContain(`the file ${path} was overwritten while in use`);
      expect(statSync(`${path}-wal`).size).toBeGreaterThan(0);
    }
    {
      // The log of this new database has not been checkpointed yet, so it contains every page.
      await using service = await spawnService({ DATABASE_URL: `file:${path}` });
      expect((await service.get("/orders/2")).body["status"]).toBe("paid");
      expect((await service.get("/health")).status).toBe(200);
      expect(await service.end("SIGTERM")).toBe(0);
    }
    expect(readHeader(path).isInWalMode).toBe(true);
    restoreDatabase(backup, path, "then");
    await using restored = await spawnService({ DATABASE_URL: `file:${path}` });
    expect((await restored.get("/orders/1")).body["status"]).toBe("paid");
    expect((await restored.get("/orders/2")).status).toBe(404);
  });

  test("with a copy made while in use: the check fails if the database has grown since", () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    using database = new Database(path, { strict: true });
    database.run("PRAGMA journal_mode = WAL");
    const grow = () => {
      database.run("CREATE TABLE IF NOT EXISTS notes (note BLOB)");
      database.run("INSERT INTO notes VALUES (zeroblob(10000))");
      database.run("PRAGMA wal_checkpoint");
    };
    grow();
    const watch = watchHeaders({ database: path, wal: `${path}-wal` });
    try {
      const [older, { changes }] = [readFileSync(path), readHeader(path)];
      grow();
      expect(readHeader(path).changes).toBe(changes);
      watch.check();
      overwrite(path, older);
      expect(watch.check).toThrow("x.db was overwritten while in use");
    } finally {
      watch.close();
    }
  });

  test("with an older copy of itself: the check fails", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await makeDatabase(path);
    const older = readFileSync(path);
    await openStore(path).close();
    const wal = `${path}-wal`;
    writeFileSync(wal, "");
    const watch = watchHeaders({ database: path, wal });
    try {
      watch.check();
      overwrite(path, older);
      expect(watch.check).toThrow("x.db was overwritten while in use");
      overwrite(path, new Uint8Array());
      expect(watch.check).toThrow("x.db was overwritten while in use");
    } finally {
      watch.close();
    }
  });
});

test("log emptied while in use: the service answers 503 after the next write", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  await using service = await spawnService({ DATABASE_URL: `file:${path}` });
  const user = await service.userId();
  truncateSync(`${path}-wal`);
  const order = (key: string) => service.order(user, { "idempotency-key": key });
  for (let count = 0; (await order(`${count}`)).status === 200; count++) await Bun.sleep(10);
  expect((await service.get("/health")).status).toBe(503);
  expect((await order("late")).status).toBe(503);
  expect(await service.end("SIGTERM")).toBe(0);
  expect(service.printed()).toContain(`the file ${path}-wal was overwritten while in use`);
});

test.each([
  ["replaced by a copy, with its log", (path: string) => renameSync(`${path}.new`, path)],
  ["left without its -wal", (path: string) => rmSync(`${path}-wal`)],
  ["left without its -shm", (path: string) => rmSync(`${path}-shm`)],
])("database %s before SIGTERM has all orders at the next start", async (_how, change) => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  {
    await using service = await spawnService({ DATABASE_URL: `file:${path}` });
    const user = await service.userId();
    copyFileSync(path, `${path}.new`);
    await service.order(user);
    change(path);
    expect(await service.end("SIGTERM")).toBe(0);
  }
  await using next = await spawnService({ DATABASE_URL: `file:${path}` });
  expect((await next.get("/orders/1")).body["status"]).toBe("paid");
});
