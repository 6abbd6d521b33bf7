import { readSettings } from "../config.ts";
import { checkpointedRestore } from "../store/sqlite/restore.ts";
import type { RunCommand } from "./command.ts";
import { describeLastOrder, runUntilSignal } from "./terminal.ts";
import { sqlitePathOf } from "./database.ts";

/** `nmservis restore FILE`: works only while the service is stopped. */
export const restore: RunCommand = async ({ environment, print, now }, _options, [from = ""]) => {
  const { database } = readSettings(environment, ["database"]);
  const path = sqlitePathOf(database, "restored", "pg_restore");
  const time = new Date(now()).toISOString().replaceAll(/[:.]/g, "-");
  const { restored, isRawCopy, old, isOldReadable, kept } = await runUntilSignal(
    checkpointedRestore(from, path, time),
  );
  print(`Restored ${from}: ${describeLastOrder(restored)}.`);
  if (isRawCopy) {
    print(
      `Warning: ${from} is a raw copy of a database file, not one made by nmservis backup. If it was copied while the service was running, its last orders may be missing: they were in the -wal file.`,
    );
  }
  if (kept === undefined) return;
  const before = isOldReadable ? describeLastOrder(old) : "its last order is unknown";
  print(`Before: ${before}. The old database is kept as ${kept}.`);
  if (old !== undefined && old.id > (restored?.id ?? 0)) {
    print(
      "Newer orders are lost, and so are their keys: repeating one would charge the customer again.",
    );
  }
};
