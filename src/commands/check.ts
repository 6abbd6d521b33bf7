import { readdirSync, realpathSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { readSettings } from "../config.ts";
import type { DatabaseConfig } from "../lib/database-url.ts";
import type { Clock } from "../ports.ts";
import { lastBackupAt } from "./scheduled-backups.ts";
import { countOrders } from "../orders/order-queries.ts";
import { readWaitingOrders } from "../health/waiting-orders.ts";
import { DatabaseUnusable, describeFileError, systemCode } from "../store/errors.ts";
import { requireDatabase } from "../store/sqlite/database-files.ts";
import { verifyDatabase } from "../store/sqlite/integrity.ts";
import type { RunCommand } from "./command.ts";
import { withReader } from "./database.ts";

const MINUTE_MS = 60_000;

/** `nmservis check`: verifies the database and counts unfinished orders. */
export const check: RunCommand = async ({ environment, print, now }) => {
  const { database, backupDir } = readSettings(environment, ["database", "backupDir"]);
  const isNew = database.kind === "sqlite" && verify(database.path, print);
  if (!isNew) await printUnfinished(database, print, now);
  if (database.kind !== "sqlite") return;
  const { bavail, bsize } = statfsSync(dirname(realpathSync(database.path)));
  print(`Free disk: ${((bavail * bsize) / 1024 ** 3).toFixed(1)} GiB.`);
  if (backupDir !== null) print(`Last backup in ${backupDir}: ${lastBackup(backupDir, now())}.`);
};

type Print = (line: string) => void;

/** Prints the database's state, and returns whether it is new. */
function verify(path: string, print: Print): boolean {
  requireDatabase(path);
  const { isNew, findings } = verifyDatabase(path);
  if (isNew) {
    print(
      `The database ${path} is new: it has no tables yet. The service creates them when it starts.`,
    );
    return true;
  }
  findings.forEach(print);
  if (findings.length > 0) {
    throw new DatabaseUnusable(`The database ${path} is damaged: restore a backup.`);
  }
  print(`The database ${path} is intact.`);
  return false;
}

async function printUnfinished(database: DatabaseConfig, print: Print, now: Clock): Promise<void> {
  const [[count = { orders: 0 }], waiting] = await withReader(database, (reader) =>
    reader.read(async (tx) => [
      await countOrders(tx),
      await readWaitingOrders(tx, Number.MAX_SAFE_INTEGER),
    ]),
  );
  const { pending, pendingSince, unnotified, unnotifiedSince } = waiting;
  print(`Orders: ${count.orders}.`);
  print(`Pending, being paid or in doubt: ${pending}${age(pendingSince, now())}.`);
  print(`Paid, dispatcher not notified yet: ${unnotified}${age(unnotifiedSince, now())}.`);
}

function lastBackup(folder: string, now: number): string {
  const last = lastBackupAt(namesIn(folder), now);
  return last === undefined ? "none" : new Date(last).toISOString();
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    // The service creates the folder with its first backup.
    if (systemCode(error) === "ENOENT") return [];
    throw new DatabaseUnusable(
      `The folder ${folder} (BACKUP_DIR) can't be read: ${describeFileError(error)}.`,
    );
  }
}

function age(since: number | null, now: number): string {
  // An order may be dated in the future if the clock was ahead.
  const minutes = Math.floor(Math.max(0, now - (since ?? now)) / MINUTE_MS);
  return since === null ? "" : `, the oldest for ${minutes} minutes`;
}
