import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { runUntilSignal } from "../../src/commands/run-until-signal.ts";
import {
  backupDatabase,
  checkpointedBackup,
  removeAbandonedParts,
} from "../../src/store/sqlite/backup.ts";
import { verifyDatabase } from "../../src/store/sqlite/integrity.ts";
import { checkpointedRestore, restoreDatabase } from "../../src/store/sqlite/restore.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { temporaryFolder } from "../support/process.ts";
import { addUser, databaseRefusal } from "../support/rows.ts";
import { openStore } from "../support/store.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

/** Makes a database with this number of users in a temporary folder. */
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

/** What `link` does on a file system without hard links. */
function failToLink(code: string) {
  return () => {
    throw Object.assign(new Error(`${code}: no hard links, link 'a' -> 'b'`), {
      code,
      syscall: "link",
    });
  };
}

describe("a backup on a file system without hard links", () => {
  test.each(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"])("is made after %s", async (code) => {
    using made = await makeDatabase();
    const file = join(made.folder, "backup");
    backupDatabase(made.path, file, () => {}, failToLink(code));
    expect(verifyDatabase(file).findings).toEqual([]);
    expect(readdirSync(made.folder).filter((name) => name.includes("part"))).toEqual([]);
  });

  test("overwrites no file that came meanwhile", async () => {
    using made = await makeDatabase();
    const file = join(made.folder, "backup");
    const fail = failToLink("EPERM");
    const message = await databaseRefusal(() =>
      backupDatabase(
        made.path,
        file,
        () => {},
        () => {
          writeFileSync(file, "precious");
          fail();
        },
      ),
    );
    expect(message).toContain("already exists");
    expect(readFileSync(file, "utf8")).toBe("precious");
  });

  test("is made after a kill at any step", async () => {
    for (const step of ["copied", "synced", "reserved"]) {
      using made = await makeDatabase();
      const [file, killed] = [join(made.folder, "backup"), join(made.folder, "killed")];
      const copy = (at: string) => {
        if (at !== step) return;
        mkdirSync(killed);
        for (const name of readdirSync(made.folder).filter((one) => one.startsWith("backup"))) {
          const ofGone = name.replace(`.${process.pid}.`, ".999999999.");
          copyFileSync(join(made.folder, name), join(killed, ofGone));
        }
      };
      backupDatabase(made.path, file, copy, failToLink("EPERM"));
      backupDatabase(made.path, join(killed, "backup"));
      expect([step, readdirSync(killed)]).toEqual([step, ["backup"]]);
      expect(countUsers(join(killed, "backup"))).toBe(1);
    }
  });

  test("leaves nothing if the file can't be made at all", async () => {
    using made = await makeDatabase();
    const file = join(made.folder, "backup");
    const message = await databaseRefusal(() =>
      backupDatabase(
        made.path,
        file,
        (step) => {
          if (step === "reserved") throw new Error("no room");
        },
        failToLink("EPERM"),
      ),
    );
    expect(message).toContain("no room");
    expect(readdirSync(made.folder).filter((name) => name.startsWith("backup"))).toEqual([]);
  });
});

describe("a backup that can't be made says why in a sentence:", () => {
  test("a name that is too long for the unfinished copy", async () => {
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

  test("a folder that can't be written, or is a file", async () => {
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

  test("a restore into a folder that can't be written, and from what is no file", async () => {
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

  /** Root may write everywhere. */
  function becomeNobody() {
    const uid = process.geteuid?.();
    if (uid === 0) process.seteuid?.(65534);
    return { [Symbol.dispose]: () => void (uid === 0 && process.seteuid?.(0)) };
  }
});

test("removing unfinished backups removes no other file", async () => {
  using made = await makeDatabase();
  const names = readdirSync(made.folder);
  // As in the root folder, whose own name is empty.
  removeAbandonedParts(made.folder, (name) => name === "");
  removeAbandonedParts(made.folder, () => true);
  expect(readdirSync(made.folder)).toEqual(names);
});

describe.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("%s", (signal) => {
  const raise = (at: string) => (step: string) => {
    if (step === at) process.kill(process.pid, signal);
  };

  test("ends a backup at any step, and leaves nothing or a complete file", async () => {
    for (const step of ["copied", "synced", "linked"]) {
      using made = await makeDatabase();
      const file = join(made.folder, "backup");
      const message = await databaseRefusal(() =>
        runUntilSignal(checkpointedBackup(made.path, file, raise(step))),
      );
      const isDone = step === "linked";
      expect([step, message]).toEqual([
        step,
        isDone ? "none" : `Stopped by ${signal}; nothing was changed.`,
      ]);
      const left = readdirSync(made.folder).filter((name) => name.startsWith("backup"));
      expect(left).toEqual(isDone ? ["backup"] : []);
    }
  });

  test("ends a restore at any step, and leaves the former database or the new one", async () => {
    for (const step of ["locked", "copied", "raised", "kept", "renamed"]) {
      using made = await makeDatabase(2);
      const file = join(made.folder, "backup");
      backupDatabase(made.path, file);
      const store = openStore(made.path);
      await store.run(addUser("+998901234567"));
      await store.close();
      const message = await databaseRefusal(() =>
        runUntilSignal(checkpointedRestore(file, made.path, "then", raise(step))),
      );
      const isDone = ["kept", "renamed"].includes(step);
      expect([step, message]).toEqual([step, isDone ? "none" : expect.stringContaining(signal)]);
      expect(countUsers(made.path)).toBe(isDone ? 2 : 3);
      expect(readdirSync(made.folder).filter((name) => name.includes("restoring"))).toEqual([]);
      await openStore(made.path).close();
    }
  });
});
