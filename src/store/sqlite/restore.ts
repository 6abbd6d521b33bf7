import { Database } from "bun:sqlite";
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { copyDatabase, sync } from "./backup.ts";
import { DatabaseUnusable } from "../errors.ts";
import { lockDatabase } from "./lock.ts";
import { kindOf, refuseUnsafePlace } from "./safe-path.ts";
import {
  verifyDatabase,
  isDamage,
  journalPath,
  type LastOrder,
  logPath,
  verifyOrThrow,
} from "./integrity.ts";
import { describeFileFault } from "./file-errors.ts";
import { type OnStep, runSteps, type Steps } from "./checkpoints.ts";

/** How many numbers are left out where nobody can say which have been given. */
const UNKNOWN_NUMBERS = 1_000_000;

/** The tables whose rows have numbers that are never given twice. */
const NUMBERED = ["users", "orders", "order_events"];

/** What has become of a database. */
export interface Restoration {
  /** The last order that is there now. */
  readonly restored: LastOrder | undefined;
  /** Whether the backup is a database file in WAL mode that was copied without its log. */
  readonly isRawCopy: boolean;
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
  return runSteps(restoreSteps(from, path, time, onStep));
}

/** The steps of `restoreDatabase`. */
export function* restoreSteps(
  from: string,
  path: string,
  time: string,
  onStep: OnStep = () => {},
): Steps<Restoration> {
  try {
    const isRawCopy = inspectBackup(from);
    const restored = verifyOrThrow(from, `The database ${from}`);
    yield;
    refuseUnsafePlace(path);
    mkdirSync(dirname(path), { recursive: true });
    // The lock needs the file to exist; it keeps services from starting meanwhile.
    closeSync(openSync(path, "a", 0o600));
    const unlock = lockDatabase(path);
    try {
      onStep("locked");
      // A rename to a symbolic link would replace the link, not the database.
      const replaced = yield* replaceDatabase(from, realpathSync(path), time, onStep);
      return { restored, isRawCopy, ...replaced };
    } finally {
      unlock();
    }
  } catch (error) {
    if (error instanceof DatabaseUnusable) throw error;
    throw new DatabaseUnusable(
      `${from} can't be restored to ${path}: ${describeFileFault(error)}.`,
      { cause: error },
    );
  }
}

function* replaceDatabase(
  from: string,
  path: string,
  time: string,
  onStep: OnStep,
): Steps<Pick<Restoration, "former" | "kept">> {
  const next = `${path}.restoring`;
  try {
    // A log without its database has orders too, and SQLite would apply it to the restored database.
    const isThere = [path, logPath(path)].some((file) => sizeOf(file) > 0);
    const former = isThere ? readFormer(path) : NOTHING;
    rmSync(next, { force: true });
    copyDatabase(from, next);
    onStep("copied");
    yield;
    raiseNumbers(next, former.numbers);
    sync(next);
    onStep("raised");
    yield;
    const kept = isThere ? `${path}.before-${time}` : undefined;
    if (kept !== undefined) keepFormer(path, kept);
    onStep("kept");
    renameSync(next, path);
    sync(dirname(path));
    onStep("renamed");
    return { former: former.lastOrder, kept };
  } finally {
    for (const file of [next, `${next}-journal`]) rmSync(file, { force: true });
  }
}

/** SQLite's read and write versions of the file format: both are 2 in WAL mode, and 1 in a backup. */
const WAL_FORMAT = 2;
const FORMAT_OFFSET = 18;

/** Returns whether the backup is a raw copy without its log. Throws `DatabaseUnusable` if it is not a file. */
function inspectBackup(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false });
  if (file === undefined) throw new DatabaseUnusable(`There is no backup ${path}.`);
  if (!file.isFile()) throw new DatabaseUnusable(`${path} is no backup: ${kindOf(file)}.`);
  const header = Buffer.alloc(FORMAT_OFFSET + 2);
  const descriptor = openSync(path, "r");
  try {
    readSync(descriptor, header, 0, header.length, 0);
  } finally {
    closeSync(descriptor);
  }
  const hadLog = header.subarray(FORMAT_OFFSET).every((byte) => byte === WAL_FORMAT);
  return hadLog && sizeOf(logPath(path)) === 0;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

interface Numbers {
  readonly name: string;
  readonly seq: number;
}

interface Former {
  /** Undefined if unreadable. */
  readonly numbers: readonly Numbers[] | undefined;
  readonly lastOrder: LastOrder | undefined;
}

const NOTHING: Former = { numbers: [], lastOrder: undefined };

/** Reads the ids that the former database has used, and its last order. */
function readFormer(path: string): Former {
  // Opening an empty database would delete its log.
  if (sizeOf(path) === 0) return { numbers: undefined, lastOrder: undefined };
  try {
    const { isNew, findings, lastOrder } = verifyDatabase(path);
    if (isNew) return NOTHING;
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
  const isReadable = takeInLog(path);
  // Copies, not other names: two names of one database would be two logs for it.
  copyFileSync(path, kept);
  if (isReadable) markWhole(kept);
  sync(kept);
  // SQLite would apply leftovers of the former database to the new one.
  for (const [file, name] of [
    [logPath(path), `${kept}-wal`],
    [journalPath(path), `${kept}-journal`],
  ] as const) {
    if (sizeOf(file) > 0) {
      copyFileSync(file, name);
      sync(name);
    }
    rmSync(file, { force: true });
  }
}

/** Turns WAL mode off, so that a later restore of the copy does not warn of a missing log. */
function markWhole(kept: string) {
  using database = new Database(kept, { readwrite: true });
  database.run("PRAGMA journal_mode = DELETE");
}

/** Has the database take in its log; false where it is damaged. Throws where somebody is in the way of that. */
function takeInLog(path: string): boolean {
  // Opening an empty database would delete its log.
  if (sizeOf(path) === 0) return false;
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
