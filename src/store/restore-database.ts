import { Database } from "bun:sqlite";
import { existsSync, linkSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { copyDatabase, type OnStep, sync } from "./backup-database.ts";
import { DatabaseUnusable, lockDatabase } from "./database-lock.ts";
import { examineDatabase, type LastOrder, requireWhole } from "./examine-database.ts";
import { refuseRoot } from "./file-owner.ts";
import { logPath } from "./inspect-database.ts";

/** How many numbers are left out where nobody can say which have been given. */
const UNKNOWN_NUMBERS = 1_000_000;

/** What has become of a database. */
export interface Restoration {
  /** The last order that is there now. */
  readonly restored: LastOrder | undefined;
  /** The last order that was there before; undefined where there was none, or none to read. */
  readonly former: LastOrder | undefined;
  /** Where the former database is; undefined where there was none. */
  readonly kept: string | undefined;
}

/**
 * Puts the backup at `from` in the place of the SQLite database at `path`, which stays beside it under another
 * name with `time` in it. At any moment there is the one or the other, whole. Numbers that the former database
 * has given are not given again. Throws `DatabaseUnusable`, also where a service has the database.
 */
export function restoreDatabase(
  from: string,
  path: string,
  time: string,
  onStep: OnStep = () => {},
): Restoration {
  if (!existsSync(from)) throw new DatabaseUnusable(`There is no backup ${from}.`);
  const restored = requireWhole(from);
  refuseRoot(path);
  mkdirSync(dirname(path), { recursive: true });
  const isThere = existsSync(path);
  const unlock = isThere ? lockDatabase(path) : () => {};
  const next = `${path}.restoring`;
  try {
    onStep("locked");
    const former = isThere ? readFormer(path) : { numbers: [], lastOrder: undefined };
    rmSync(next, { force: true });
    copyDatabase(from, next);
    onStep("copied");
    raiseNumbers(next, former.numbers);
    sync(next);
    onStep("raised");
    const kept = isThere ? `${path}.before-${time}` : undefined;
    if (kept !== undefined) keepFormer(path, kept);
    onStep("kept");
    renameSync(next, path);
    sync(dirname(path));
    onStep("renamed");
    return { restored, former: former.lastOrder, kept };
  } catch (error) {
    if (error instanceof DatabaseUnusable) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new DatabaseUnusable(`${from} can't be restored to ${path}: ${reason}.`, {
      cause: error,
    });
  } finally {
    for (const file of [next, `${next}-journal`]) rmSync(file, { force: true });
    unlock();
  }
}

interface Numbers {
  readonly name: string;
  readonly seq: number;
}

/** Which numbers the former database has given; undefined where that can't be read. */
function readFormer(path: string): {
  readonly numbers: readonly Numbers[] | undefined;
  readonly lastOrder: LastOrder | undefined;
} {
  try {
    const { findings, lastOrder } = examineDatabase(path);
    if (findings.length > 0) return { numbers: undefined, lastOrder };
    using database = new Database(path, { readonly: true });
    const numbers = database.query<Numbers, []>("SELECT name, seq FROM sqlite_sequence").all();
    return { numbers, lastOrder };
  } catch {
    // It may be of another version or none of ours: what it has given nobody knows.
    return { numbers: undefined, lastOrder: undefined };
  }
}

function raiseNumbers(path: string, former: readonly Numbers[] | undefined) {
  using database = new Database(path, { readwrite: true, strict: true });
  database.run("PRAGMA synchronous = FULL");
  if (former === undefined) {
    database.run(`UPDATE sqlite_sequence SET seq = seq + ${UNKNOWN_NUMBERS}`);
    return;
  }
  for (const { name, seq } of former) {
    database
      .query("UPDATE sqlite_sequence SET seq = max(seq, $seq) WHERE name = $name")
      .run({ seq, name });
    database
      .query(
        `INSERT INTO sqlite_sequence (name, seq)
         SELECT $name, $seq WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = $name)`,
      )
      .run({ seq, name });
  }
}

/** Has the database take in its log, and says whether somebody is in the way of that. */
function isReaderThere(path: string): boolean {
  try {
    using database = new Database(path, { readwrite: true });
    const [isBusy] = database.query("PRAGMA wal_checkpoint(TRUNCATE)").values()[0] ?? [];
    return isBusy === 1;
  } catch {
    // What can't be read is kept as it is, its log as well.
    return false;
  }
}

/** Gives the former database its second name, with all that its write-ahead log has. */
function keepFormer(path: string, kept: string) {
  // A file that is put beside the old log would be taken for damaged.
  if (isReaderThere(path)) {
    throw new DatabaseUnusable(
      `The database ${path} is being read by another program: stop that first.`,
    );
  }
  const log = logPath(path);
  if (statSync(log, { throwIfNoEntry: false })?.size) renameSync(log, `${kept}-wal`);
  linkSync(path, kept);
}
