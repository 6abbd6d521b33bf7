import { Database } from "bun:sqlite";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { copyDatabase, type OnStep, sync } from "./backup-database.ts";
import { DatabaseUnusable, lockDatabase } from "./database-lock.ts";
import { examineDatabase, isDamage, type LastOrder, requireWhole } from "./examine-database.ts";
import { refuseRoot } from "./file-owner.ts";
import { logPath } from "./inspect-database.ts";

/** How many numbers are left out where nobody can say which have been given. */
const UNKNOWN_NUMBERS = 1_000_000;

/** The tables whose rows have numbers that are never given twice. */
const NUMBERED = ["users", "orders", "order_events"];

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
  // The lock is on a file that is there: no service may begin meanwhile.
  closeSync(openSync(path, "a"));
  const unlock = lockDatabase(path);
  const next = `${path}.restoring`;
  try {
    onStep("locked");
    const isThere = statSync(path).size > 0;
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
    return { numbers: readNumbers(database), lastOrder };
  } catch {
    // It may be of another version or none of ours: what it has given nobody knows.
    return { numbers: undefined, lastOrder: undefined };
  }
}

function raiseNumbers(path: string, former: readonly Numbers[] | undefined) {
  using database = new Database(path, { readwrite: true, strict: true });
  database.run("PRAGMA synchronous = FULL");
  const own = new Map(readNumbers(database).map(({ name, seq }) => [name, seq]));
  const least =
    former ?? NUMBERED.map((name) => ({ name, seq: (own.get(name) ?? 0) + UNKNOWN_NUMBERS }));
  for (const { name, seq } of least) {
    const change = own.has(name)
      ? "UPDATE sqlite_sequence SET seq = max(seq, $seq) WHERE name = $name"
      : "INSERT INTO sqlite_sequence (name, seq) VALUES ($name, $seq)";
    database.query(change).run({ seq, name });
  }
}

function readNumbers(database: Database): Numbers[] {
  return database.query<Numbers, []>("SELECT name, seq FROM sqlite_sequence").all();
}

/** Copies the former database, all that its write-ahead log has included, to stand beside the new one. */
function keepFormer(path: string, kept: string) {
  const log = logPath(path);
  const isReadable = takeInLog(path);
  // Copies, not other names: two names of one database would be two logs for it.
  copyFileSync(path, kept);
  sync(kept);
  if (isReadable || !existsSync(log)) return;
  // Beside the new database the old log would be taken for its own.
  copyFileSync(log, `${kept}-wal`);
  sync(`${kept}-wal`);
  rmSync(log);
}

/** Has the database take in its log; false where it is damaged. Throws where somebody is in the way of that. */
function takeInLog(path: string): boolean {
  try {
    using database = new Database(path, { readwrite: true });
    const [isBusy] = database.query("PRAGMA wal_checkpoint(TRUNCATE)").values()[0] ?? [];
    if (isBusy !== 1) return true;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  }
  throw new DatabaseUnusable(
    `The database ${path} is being read by another program: stop that first.`,
  );
}
