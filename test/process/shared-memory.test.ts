import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { verifyDatabase } from "../../src/store/sqlite/integrity.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { runCommand, temporaryFolder } from "../support/process.ts";
import { allUsers, refusal } from "../support/rows.ts";
import { openStore } from "../support/store.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

/** A program that begins a read transaction, and continues it when stdin ends. */
const READ_TWICE = `
  const { Database } = require("bun:sqlite");
  const database = new Database(process.argv[1], { readonly: true });
  database.run("BEGIN");
  database.query("SELECT count(*) FROM sqlite_master").get();
  console.log("reading");
  await Bun.stdin.text();
  const [[found]] = database.query("PRAGMA integrity_check(1)").values();
  const changed = "SELECT count(*) FROM users WHERE full_name IS NOT NULL";
  console.log(found + ", " + database.query(changed).values()[0][0] + " changed");
`;

test("a deleted -shm file does not affect backups, `check` or other readers", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const store = openStore(path);
  const rows = Array.from({ length: 5000 }, (_, i) => ({
    phoneNumber: `+99890${1_000_000 + i}`,
    createdAt: 0,
    smsTriedAt: 0,
  }));
  await store.run((tx) => tx.insert(tx.tables.users).values(rows));
  await store.run((tx) => tx.update(tx.tables.users).set({ fullName: "x".repeat(100) }));
  rmSync(`${path}-shm`);
  const DATABASE_URL = `file:${path}`;
  expect(await runCommand(["check"], { DATABASE_URL })).toMatchObject({ status: 0 });
  const file = join(folder.path, "backup");
  expect(await runCommand(["backup", file], { DATABASE_URL })).toMatchObject({ status: 0 });
  expect(verifyDatabase(file).findings).toEqual([]);
  await using reader = Bun.spawn([process.execPath, "-e", READ_TWICE, path], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = reader.stdout.pipeThrough(new TextDecoderStream()).getReader();
  expect((await lines.read()).value).toBe("reading\n");
  expect(await refusal(store.run(allUsers))).toContain("x.db-shm was deleted or replaced");
  // Must not truncate the WAL while the reader is using it.
  await store.close();
  reader.stdin.end();
  expect((await lines.read()).value).toBe("ok, 5000 changed\n");
});
