import { statSync } from "node:fs";
import { readSettings } from "../config.ts";
import { backupSteps, partOf } from "../store/sqlite/backup.ts";
import { syncSteadily } from "../store/sqlite/background-sync.ts";
import type { Command } from "./command.ts";
import { orderInWords } from "./order-in-words.ts";
import { runUntilSignal } from "./run-until-signal.ts";
import { sqlitePathOf } from "./sqlite-path.ts";

/** `nmservis backup FILE`: also while the service runs. */
export const backup: Command = {
  usage: "FILE",
  summary: "copies the database to a new file, also while it is served",
  positionals: 1,
  async run({ environment, print }, _options, [to = ""]) {
    const { database } = readSettings(environment, ["database"]);
    const from = sqlitePathOf(database, "backed up", "pg_dump");
    using _syncing = await syncSteadily(partOf(to));
    const lastOrder = await runUntilSignal(backupSteps(from, to));
    const mebibytes = (statSync(to).size / 1024 ** 2).toFixed(1);
    print(`Backed up to ${to}, ${mebibytes} MiB: ${orderInWords(lastOrder)}.`);
  },
};
