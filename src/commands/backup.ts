import { statSync } from "node:fs";
import { readSettings } from "../config.ts";
import { checkpointedBackup, partOf } from "../store/sqlite/backup.ts";
import { syncInBackground } from "../store/sqlite/background-sync.ts";
import type { RunCommand } from "./command.ts";
import { describeLastOrder, runUntilSignal } from "./terminal.ts";
import { sqlitePathOf } from "./database.ts";

/** `nmservis backup FILE`: works while the service runs. */
export const backup: RunCommand = async ({ environment, print }, _options, [to = ""]) => {
  const { database } = readSettings(environment, ["database"]);
  const from = sqlitePathOf(database, "backed up", "pg_dump");
  using _syncing = await syncInBackground(partOf(to));
  const lastOrder = await runUntilSignal(checkpointedBackup(from, to));
  const mebibytes = (statSync(to).size / 1024 ** 2).toFixed(1);
  print(`Backed up to ${to}, ${mebibytes} MiB: ${describeLastOrder(lastOrder)}.`);
};
