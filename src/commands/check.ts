import { existsSync, readdirSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { readSettings } from "../config.ts";
import { lastBackupAt } from "./backup-schedule.ts";
import { countOrders, waitingOrders } from "../orders/order-queries.ts";
import { DatabaseUnusable } from "../store/database-lock.ts";
import { examineDatabase } from "../store/examine-database.ts";
import { refuseRoot } from "../store/file-owner.ts";
import type { Command } from "./command.ts";
import { withReader } from "./with-reader.ts";

const MINUTE_MS = 60_000;

/** `nmservis check`: whether the database is whole, and what is left to do. */
export const check: Command = {
  usage: "",
  summary: "says whether the database is whole, and what waits",
  positionals: 0,
  async run({ environment, print, now }) {
    const { database, backupDir } = readSettings(environment, ["database", "backupDir"]);
    if (database.kind === "sqlite") examine(database.path, print);
    const [[count], [waiting]] = await withReader(database, (reader) =>
      reader.read(async (tx) => [
        await countOrders(tx),
        await waitingOrders(tx, { madeBy: Number.MAX_SAFE_INTEGER }),
      ]),
    );
    if (count === undefined || waiting === undefined) throw new Error("a count has no row");
    const { pending, pendingSince, unannounced, unannouncedSince } = waiting;
    print(`Orders: ${count.orders}.`);
    print(`Pending, being paid or in doubt: ${pending}${age(pendingSince, now())}.`);
    print(`Paid, and the dispatcher not told: ${unannounced}${age(unannouncedSince, now())}.`);
    if (database.kind !== "sqlite") return;
    const { bavail, bsize } = statfsSync(dirname(database.path));
    print(`Free disk: ${((bavail * bsize) / 1024 ** 3).toFixed(1)} GiB.`);
    if (backupDir !== null) print(`Last backup in ${backupDir}: ${lastBackup(backupDir, now())}.`);
  },
};

function examine(path: string, print: (line: string) => void) {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) {
    throw new DatabaseUnusable(`There is no database ${path}.`);
  }
  refuseRoot(path);
  const { findings } = examineDatabase(path);
  findings.forEach(print);
  if (findings.length > 0) {
    throw new DatabaseUnusable(`The database ${path} is damaged: restore a backup.`);
  }
  print(`The database ${path} is whole.`);
}

function lastBackup(folder: string, now: number): string {
  const last = existsSync(folder) ? lastBackupAt(readdirSync(folder), now) : undefined;
  return last === undefined ? "none" : new Date(last).toISOString();
}

function age(since: number | null, now: number): string {
  return since === null ? "" : `, the oldest for ${Math.floor((now - since) / MINUTE_MS)} minutes`;
}
