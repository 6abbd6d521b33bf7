import { readSettings } from "../config.ts";
import { parseDatabaseUrl } from "../settings.ts";
import { createLog } from "../log.ts";
import type { Clock } from "../ports.ts";
import { moveDatabase } from "../store/move.ts";
import { type RunCommand, UsageError } from "./command.ts";

/** Update intervals: for the bar on a terminal, and for lines elsewhere. */
const TERMINAL_MS = 200;
const LINES_MS = 5000;

const BAR_WIDTH = 30;

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
  const progress = createProgress(elapsed);
  const moved = await moveDatabase(database.path, target.url, {
    log,
    elapsed,
    onProgress(done, total) {
      if (done === undefined) progress.end("All rows are copied; creating the indexes.");
      else progress.show(done, total);
    },
  });
  if (moved === null) return print("Already moved: both databases have the same rows.");
  const { orders, users, tariffs } = moved;
  print(
    `Moved ${orders} orders, ${users} users and ${tariffs} tariffs. Start the service with the new DATABASE_URL, and never with the old one again.`,
  );
};

/**
 * Shows copied rows on stderr, with rate and remaining time: as a bar on a terminal, otherwise as
 * occasional lines. Prints nothing in the first second.
 */
function createProgress(elapsed: Clock) {
  const { isTTY } = process.stderr;
  const startedAt = elapsed();
  let printedAt = startedAt + 1000 - (isTTY ? TERMINAL_MS : LINES_MS);
  let hasBar = false;
  return {
    show(done: number, total: number) {
      const at = elapsed();
      if (at - printedAt < (isTTY ? TERMINAL_MS : LINES_MS)) return;
      printedAt = at;
      const rate = done / ((at - startedAt) / 1000);
      const leftS = Math.ceil((total - done) / Math.max(rate, 1));
      const percent = Math.floor((done / Math.max(total, 1)) * 100);
      const text = `${percent} %, ${done} of ${total} rows, ${Math.round(rate)}/s, ${leftS} s left`;
      if (!isTTY) return void process.stderr.write(`${text}\n`);
      hasBar = true;
      const bar = "#".repeat(Math.floor((percent / 100) * BAR_WIDTH)).padEnd(BAR_WIDTH, ".");
      process.stderr.write(`\r[${bar}] ${text}\u001b[K`);
    },
    /** Removes the bar. If the work took over a second, prints `next`, the step that follows. */
    end(next?: string) {
      if (hasBar) process.stderr.write("\r\u001b[K");
      const isLong = elapsed() - startedAt > 1000;
      if (isLong && next !== undefined) process.stderr.write(`${next}\n`);
    },
  };
}
