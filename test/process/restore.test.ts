import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { backupDatabase } from "../../src/store/sqlite/backup.ts";
import { restoreDatabase } from "../support/checkpoints.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { mountDisk } from "../support/disk.ts";
import { runCommand, temporaryFolder } from "../support/process.ts";
import { addUser, databaseRefusal } from "../support/rows.ts";
import { skip } from "../support/skip.ts";
import { openStore } from "../support/store.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

/** Creates an open database with two users that are in a backup, and a third only in the WAL. */
async function makeLiveDatabase(folder: string) {
  const [path, backup] = [join(folder, "x.db"), join(folder, "backup")];
  const first = openStore(path);
  for (const number of ["+998901234561", "+998901234562"]) await first.run(addUser(number));
  await first.close();
  const store = openStore(path);
  backupDatabase(path, backup);
  await store.run(addUser("+998901234563"));
  return { path, backup, store };
}

function countUsers(path: string): number {
  using database = new Database(path, { readonly: true });
  return database.query<{ n: number }, []>("SELECT count(*) AS n FROM users").get()?.n ?? -1;
}

describe("restore of a raw copy of a live database", () => {
  test("without its -wal warns of missing orders", async () => {
    using folder = temporaryFolder();
    const { path, store } = await makeLiveDatabase(folder.path);
    const [raw, target] = [join(folder.path, "raw"), join(folder.path, "target.db")];
    copyFileSync(path, raw);
    await store.close();
    const { status, printed } = await runCommand(["restore", raw], {
      DATABASE_URL: `file:${target}`,
    });
    expect([status, printed]).toEqual([
      0,
      expect.stringMatching(
        /^Restored .*\nWarning: \S+ is a raw copy of a database file, .* may be missing: .*-wal/,
      ),
    ]);
    expect(countUsers(target)).toBe(2);
    // Reading the copy may have created an empty -wal.
    expect(restoreDatabase(raw, target, "then").isRawCopy).toBe(true);
  });

  test("with its -wal restores all rows without a warning", async () => {
    using folder = temporaryFolder();
    const { path, store } = await makeLiveDatabase(folder.path);
    const [raw, target] = [join(folder.path, "raw"), join(folder.path, "target.db")];
    for (const suffix of ["", "-wal"]) copyFileSync(path + suffix, raw + suffix);
    await store.close();
    expect(restoreDatabase(raw, target, "then").isRawCopy).toBe(false);
    expect(countUsers(target)).toBe(3);
  });
});

test("restore of a backup or a kept database does not warn", async () => {
  using folder = temporaryFolder();
  const { path, backup, store } = await makeLiveDatabase(folder.path);
  await store.close();
  const { isRawCopy, kept = "" } = restoreDatabase(backup, path, "then");
  expect(isRawCopy).toBe(false);
  await openStore(path).close();
  expect(restoreDatabase(kept, path, "later").isRawCopy).toBe(false);
  expect(countUsers(path)).toBe(3);
  const leftovers = readdirSync(folder.path).filter((name) =>
    /before-.*-(wal|shm|journal)$/.test(name),
  );
  expect(leftovers).toEqual([]);
});

test("restore ignores the -wal of a deleted database", async () => {
  using folder = temporaryFolder();
  const { path, backup, store } = await makeLiveDatabase(folder.path);
  const deleted = join(folder.path, "deleted.db");
  copyFileSync(`${path}-wal`, `${deleted}-wal`);
  await store.close();
  restoreDatabase(backup, deleted, "then");
  expect(countUsers(deleted)).toBe(2);
  const again = openStore(deleted);
  // The deleted database may have used unknown ids, so 1,000,000 are skipped.
  expect(await again.run(addUser("+998901234569"))).toMatchObject([{ id: 1_000_003 }]);
  await again.close();
  expect(statSync(`${deleted}.before-then-wal`).size).toBeGreaterThan(0);
});

test("restore over a deleted database whose -wal is empty skips 1,000,000 ids", async () => {
  using folder = temporaryFolder();
  const { backup, store } = await makeLiveDatabase(folder.path);
  await store.close();
  const deleted = join(folder.path, "deleted.db");
  writeFileSync(`${deleted}-wal`, "");
  expect(restoreDatabase(backup, deleted, "then")).toMatchObject({
    isOldReadable: false,
    kept: undefined,
  });
  const again = openStore(deleted);
  expect(await again.run(addUser("+998901234569"))).toMatchObject([{ id: 1_000_003 }]);
  await again.close();
});

test("restore ignores the -journal of a deleted database", async () => {
  using folder = temporaryFolder();
  const { backup, store } = await makeLiveDatabase(folder.path);
  await store.close();
  const [living, deleted] = [join(folder.path, "living.db"), join(folder.path, "deleted.db")];
  copyFileSync(backup, living);
  using database = new Database(living);
  database.run("BEGIN");
  database.run("DELETE FROM users");
  copyFileSync(`${living}-journal`, `${deleted}-journal`);
  restoreDatabase(backup, deleted, "then");
  expect(countUsers(deleted)).toBe(2);
  expect(statSync(`${deleted}.before-then-journal`).size).toBeGreaterThan(0);
});

test("restore on a nearly full disk of any size says so and leaves no copy", async () => {
  using folder = temporaryFolder();
  const { path, backup, store } = await makeLiveDatabase(folder.path);
  await store.close();
  const disk = join(folder.path, "disk");
  const small = join(disk, "x.db");
  const kib = Math.ceil(statSync(path).size / 1024);
  const messages = new Set<string>();
  for (let size = kib; !messages.has("none"); size += 4) {
    using mounted = mountDisk(disk, `${size}k`);
    if (mounted === undefined)
      return skip("the full disk, which needs permission to mount a tmpfs");
    copyFileSync(path, small);
    const message = await databaseRefusal(() => restoreDatabase(backup, small, "then"));
    messages.add(message);
    if (message === "none") break;
    expect([size, message]).toEqual([size, expect.stringMatching(/full|no space left/)]);
    expect(readdirSync(disk).filter((name) => /before|restoring/.test(name))).toEqual([]);
    expect(readFileSync(small)).toEqual(readFileSync(path));
  }
  expect(messages.size).toBeGreaterThan(2);
});

test("restore makes the kept database accessible only to its owner", async () => {
  using folder = temporaryFolder();
  const { path, backup, store } = await makeLiveDatabase(folder.path);
  await store.close();
  chmodSync(path, 0o644);
  const { kept = "" } = restoreDatabase(backup, path, "then");
  expect(statSync(kept).mode & 0o777).toBe(0o600);
});

test("restore of the database itself is refused under any name", async () => {
  using folder = temporaryFolder();
  const { path, store } = await makeLiveDatabase(folder.path);
  await store.close();
  const [link, name] = [join(folder.path, "link"), join(folder.path, "name")];
  symlinkSync(path, link);
  const refuse = (from: string, target: string) =>
    databaseRefusal(() => restoreDatabase(from, target, "then"));
  for (const [from, target] of [
    [path, path],
    [link, path],
    [path, link],
  ] as const) {
    expect(await refuse(from, target)).toBe(
      `${from} is the database ${target} itself: name a backup.`,
    );
  }
  linkSync(path, name);
  expect(await refuse(name, path)).toContain("has 2 names (hard links)");
  rmSync(name);
  copyFileSync(path, `${path}.restoring`);
  expect(await refuse(`${path}.restoring`, path)).toBe(
    `${path}.restoring is a file of the database ${path}: name a backup.`,
  );
  expect(countUsers(`${path}.restoring`)).toBe(3);
});

test("restore over an empty database with a -wal says that its last order is unknown", async () => {
  using folder = temporaryFolder();
  const { path, backup, store } = await makeLiveDatabase(folder.path);
  const emptied = join(folder.path, "emptied.db");
  writeFileSync(emptied, "");
  copyFileSync(`${path}-wal`, `${emptied}-wal`);
  await store.close();
  const { status, printed } = await runCommand(["restore", backup], {
    DATABASE_URL: `file:${emptied}`,
  });
  expect([status, printed]).toEqual([
    0,
    expect.stringContaining("\nBefore: its last order is unknown. The old database is kept as "),
  ]);
});

test("restore through a symbolic link replaces the database, not the link", async () => {
  using folder = temporaryFolder();
  const { path, backup, store } = await makeLiveDatabase(folder.path);
  await store.close();
  mkdirSync(join(folder.path, "links"));
  const link = join(folder.path, "links/x.db");
  symlinkSync("../x.db", link);
  const { kept } = restoreDatabase(backup, link, "then");
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect([countUsers(path), countUsers(kept ?? "")]).toEqual([2, 3]);
  expect(readdirSync(join(folder.path, "links"))).toEqual(["x.db"]);
});
