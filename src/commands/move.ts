import { readSettings } from "../config.ts";
import { parseDatabaseUrl } from "../lib/database-url.ts";
import { createLog } from "../log.ts";
import { moveDatabase } from "../store/move.ts";
import { type RunCommand, UsageError } from "./command.ts";
import { createProgress } from "./terminal.ts";

/** `nmservis move --to URL`: works only while the service is stopped. */
export const move: RunCommand = async ({ environment, print, now, elapsed }, { to }) => {
  const target = parseDatabaseUrl(String(to ?? ""));
  if (target?.kind !== "postgres") {
    throw new UsageError("move: --to must be the URL of a PostgreSQL database");
  }
  const { database } = readSettings(environment, ["database"]);
  if (database.kind !== "sqlite") {
    throw new UsageError("move: DATABASE_URL must be the SQLite database to copy");
  }
  const write = (line: string) => void process.stderr.write(`${line}\n`);
  const log = createLog({ level: "warn", json: false, write, now });
  const showProgress = createProgress("rows", elapsed);
  const moved = await moveDatabase(database.path, target.url, {
    log,
    elapsed,
    onProgress(done, total) {
      showProgress(done, total);
      if (done === total) write("All rows are copied; creating the indexes.");
    },
  });
  if (moved === null) return print("Already moved: both databases have the same rows.");
  const { orders, users, tariffs } = moved;
  print(
    `Moved ${orders} orders, ${users} users and ${tariffs} tariffs. Start the service with the new DATABASE_URL, and never with the old one again.`,
  );
};
