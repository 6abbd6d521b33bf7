import { statSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { readSettings } from "../config.ts";
import { checkpointedBackup, partOf, syncInBackground } from "../store/sqlite/backup.ts";
import type { RunCommand } from "./command.ts";
import { describeLastOrder, runUntilSignal } from "./terminal.ts";
import { sqlitePathOf } from "./database.ts";

/** `nmservis backup FILE`: works while the service runs. */
export const backup: RunCommand = async ({ environment, print }, _options, [to = ""]) => {
  const { database } = readSettings(environment, ["database"]);
  const from = sqlitePathOf(database, "backed up", "pg_dump");
  yieldToOrders();
  using _syncing = await syncInBackground(partOf(to));
  const lastOrder = await runUntilSignal(checkpointedBackup(from, to));
  const mebibytes = (statSync(to).size / 1024 ** 2).toFixed(1);
  print(`Backed up to ${to}, ${mebibytes} MiB: ${describeLastOrder(lastOrder)}.`);
};

/** Lowers the priority: the p99 of orders while a million are backed up is 50 ms, not 60. */
function yieldToOrders(): void {
  try {
    setPriority(constants.priority.PRIORITY_LOW);
  } catch {
    // A sandbox may forbid it.
  }
}
