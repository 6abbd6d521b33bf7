import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { runUntilSignal } from "../../src/commands/terminal.ts";
import {
  backupDatabase,
  checkpointedBackup,
  removeAbandonedParts,
} from "../../src/store/sqlite/backup.ts";
import { verifyDatabase } from "../../src/store/sqlite/integrity.ts";
import { checkpointedRestore } from "../../src/store/sqlite/restore.ts";
import { observe, restoreDatabase, runToEnd } from "../support/checkpoints.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { temporaryFolder } from "../support/process.ts";
import { addUser, databaseRefusal } from "../support/rows.ts";
import { openStore } from "../support/store.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

/** Creates a database with this many users in a temporary folder. */
async function makeDatabase(users = 1) {
  const folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const store = openStore(path);
  for (let i = 0; i < users; i++) await store.run(addUser(`+9989012345${10 + i}`));
  await store.close();
  return { path, folder: folder.path, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

function countUsers(path: string): number {
  using database = new Database(path, { readonly: true });
  return database.query<{ n: number }, []>("SELECT count(*) AS n FROM users").get()?.n ?? -1;
}

/** Returns a `link` function that fails like one on a file system without hard links. */
function failToLink(code: string) {
  return () => {
    throw Object.assign(new Error(`${code}: no hard links, link 'a' -> 'b'`), {
      code,
      syscall: "link",
    });
  };
}

describe("backup on a file system without hard links", () => {
  test.each(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"])("succeeds after %s", async (code) => {
    using made = await makeDatabase();
    const file = join(made.folder, "backup");
    runToEnd(checkpointedBackup(made.path, file, failToLink(code)));
    expect(verifyDatabase(file).findings).toEqual([]);
    expect(readdirSync(made.folder).filter((name) => name.includes("part"))).toEqual([]);
  });

  test("does not overwrite a file created meanwhile", async () => {
    using made = await makeDatabase();
    const file = join(made.folder, "backup");
    const fail = failToLink("EPERM");
    const message = await databaseRefusal(() =>
      runToEnd(
        checkpointedBackup(made.path, file, () => {
          writeFileSync(file, "precious");
          fail();
        }),
      ),
    );
    expect(message).toContain("already exists");
    expect(readFileSync(file, "utf8")).toBe("precious");
  });

  test("succeeds after an earlier backup was killed at any checkpoint", async () => {
    for (const checkpoint of ["copied", "synced", "reserved"]) {
      using made = await makeDatabase();
      const [file, killed] = [join(made.folder, "backup"), join(made.folder, "killed")];
      const copy = (at: string) => {
        if (at !== checkpoint) return;
        mkdirSync(killed);
        for (const name of readdirSync(made.folder).filter((one) => one.startsWith("backup"))) {
          const nameOfDead = name.replace(`.${process.pid}.`, ".999999999.");
          copyFileSync(join(made.folder, name), join(killed, nameOfDead));
        }
      };
      runToEnd(checkpointedBackup(made.path, file, failToLink("EPERM")), copy);
      backupDatabase(made.path, join(killed, "backup"));
      expect([checkpoint, readdirSync(killed)]).toEqual([checkpoint, ["backup"]]);
      expect(countUsers(join(killed, "backup"))).toBe(1);
    }
  });

  test("leaves no file behind if it fails", async () => {
    using made = await makeDatabase();
    const file = join(made.folder, "backup");
    const message = await databaseRefusal(() =>
      runToEnd(checkpointedBackup(made.path, file, failToLink("EPERM")), (checkpoint) => {
        if (checkpoint === "reserved") throw new Error("no room");
      }),
    );
    expect(message).toContain("no room");
    expect(readdirSync(made.folder).filter((name) => name.startsWith("backup"))).toEqual([]);
  });
});

describe("backup and restore errors", () => {
  test("state the maximum length of a file name", async () => {
    using made = await makeDatabase();
    const refused = (length: number) =>
      databaseRefusal(() => backupDatabase(made.path, join(made.folder, "x".repeat(length))));
    const message = await refused(255);
    const most = Number(/ is too long: choose one of at most (\d+) bytes\.$/.exec(message)?.[1]);
    expect(await refused(most + 1)).toContain("is too long");
    expect(await refused(most)).toBe("none");
    expect(await databaseRefusal(() => backupDatabase(made.path, "x/".repeat(3000)))).toContain(
      "no folder",
    );
  });

  test("say that the backup's name is a file of the database or a folder", async () => {
    using made = await makeDatabase();
    const names = readdirSync(made.folder);
    mkdirSync(join(made.folder, "links"));
    symlinkSync(made.path, join(made.folder, "links/x.db"));
    for (const suffix of ["-wal", "-shm", "-journal", ".lock", ".restoring"]) {
      for (const path of [made.path, join(made.folder, "links/x.db")]) {
        const file = made.path + suffix;
        expect(await databaseRefusal(() => backupDatabase(path, file))).toBe(
          `${file} is reserved for a file of the database ${path}: choose another name.`,
        );
      }
    }
    for (const name of ["x.db/", "new/"]) {
      const file = join(made.folder, name);
      expect(await databaseRefusal(() => backupDatabase(made.path, file))).toBe(
        `${file} is the name of a folder: name a file.`,
      );
    }
    expect(readdirSync(made.folder)).toEqual(expect.arrayContaining(names));
    expect(readdirSync(made.folder)).toHaveLength(names.length + 1);
  });

  test("name the database being backed up, or the backup being restored", async () => {
    using made = await makeDatabase();
    const foreign = join(made.folder, "foreign.db");
    new Database(foreign).run("CREATE TABLE songs (title TEXT)");
    const reason = "can't be used: it was not created by NMservis";
    expect(
      await databaseRefusal(() => backupDatabase(foreign, join(made.folder, "backup"))),
    ).toStartWith(`The copy of ${foreign} ${reason}`);
    expect(await databaseRefusal(() => restoreDatabase(foreign, made.path, "then"))).toStartWith(
      `The backup ${foreign} ${reason}`,
    );
  });

  test("say why a backup folder cannot be written", async () => {
    using made = await makeDatabase();
    const locked = join(made.folder, "locked");
    mkdirSync(locked, { mode: 0o555 });
    chmodSync(made.folder, 0o777);
    for (const name of readdirSync(made.folder)) chmodSync(join(made.folder, name), 0o777);
    chmodSync(locked, 0o555);
    const to = (path: string) => databaseRefusal(() => backupDatabase(made.path, path));
    {
      using _nobody = becomeNobody();
      expect(await to(join(locked, "backup"))).toEndWith(": permission denied (EACCES).");
    }
    expect(await to(join(made.path, "backup"))).toEndWith(": not a directory (ENOTDIR).");
    if (existsSync("/proc")) {
      expect(await to("/proc/backup")).toEndWith(": no such file or directory (ENOENT).");
    }
  });

  test("say why a restore cannot read the backup or write the folder", async () => {
    using made = await makeDatabase();
    const backup = join(made.folder, "backup");
    const locked = join(made.folder, "locked");
    backupDatabase(made.path, backup);
    mkdirSync(locked);
    for (const name of ["backup", "."]) chmodSync(join(made.folder, name), 0o777);
    chmodSync(locked, 0o555);
    const restore = (from: string, path: string) =>
      databaseRefusal(() => restoreDatabase(from, path, "then"));
    {
      using _nobody = becomeNobody();
      for (const path of [join(locked, "x.db"), join(locked, "deep/x.db")]) {
        expect(await restore(backup, path)).toEndWith(": permission denied (EACCES).");
      }
    }
    expect(await restore(made.folder, made.path)).toEndWith(" is not a backup: it is a folder.");
    expect(await restore(join(backup, "x"), made.path)).toEndWith(": not a directory (ENOTDIR).");
    expect(countUsers(made.path)).toBe(1);
  });

  /** Drops root's privileges, because root can write anywhere. */
  function becomeNobody() {
    const uid = process.geteuid?.();
    if (uid === 0) process.seteuid?.(65534);
    return { [Symbol.dispose]: () => void (uid === 0 && process.seteuid?.(0)) };
  }
});

test("removeAbandonedParts removes no other files", async () => {
  using made = await makeDatabase();
  const names = readdirSync(made.folder);
  // The file name is empty if the backup path is in the root folder.
  removeAbandonedParts(made.folder, (name) => name === "");
  removeAbandonedParts(made.folder, () => true);
  expect(readdirSync(made.folder)).toEqual(names);
});

describe.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("%s", (signal) => {
  const raise = (at: string) => (checkpoint: string) => {
    if (checkpoint === at) process.kill(process.pid, signal);
  };

  test("stops a backup at any checkpoint and leaves no file or a complete one", async () => {
    for (const checkpoint of ["copied", "synced", "linked"]) {
      using made = await makeDatabase();
      const file = join(made.folder, "backup");
      const message = await databaseRefusal(() =>
        runUntilSignal(observe(checkpointedBackup(made.path, file), raise(checkpoint))),
      );
      const isDone = checkpoint === "linked";
      expect([checkpoint, message]).toEqual([
        checkpoint,
        isDone ? "none" : `Stopped by ${signal}; nothing was changed.`,
      ]);
      const left = readdirSync(made.folder).filter((name) => name.startsWith("backup"));
      expect(left).toEqual(isDone ? ["backup"] : []);
    }
  });

  test("stops a restore at any checkpoint and leaves the old database or the new one", async () => {
    for (const checkpoint of ["locked", "copied", "raised", "kept", "renamed"]) {
      using made = await makeDatabase(2);
      const file = join(made.folder, "backup");
      backupDatabase(made.path, file);
      const store = openStore(made.path);
      await store.run(addUser("+998901234567"));
      await store.close();
      const message = await databaseRefusal(() =>
        runUntilSignal(observe(checkpointedRestore(file, made.path, "then"), raise(checkpoint))),
      );
      const isDone = ["kept", "renamed"].includes(checkpoint);
      expect([checkpoint, message]).toEqual([
        checkpoint,
        isDone ? "none" : expect.stringContaining(signal),
      ]);
      expect(countUsers(made.path)).toBe(isDone ? 2 : 3);
      expect(readdirSync(made.folder).filter((name) => name.includes("restoring"))).toEqual([]);
      await openStore(made.path).close();
    }
  });
});
