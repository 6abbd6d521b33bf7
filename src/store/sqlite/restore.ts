import { Database } from "bun:sqlite";
import { copyFileSync, realpathSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { type Checkpointed, copyDatabase } from "./backup.ts";
import { DatabaseUnusable, describeFileError } from "../errors.ts";
import { fileAt, sizeOf, sync } from "./file-system.ts";
import { lockDatabase } from "./lock.ts";
import { readHeader } from "./file-headers.ts";
import { journalPath, walPath, orphanedWal } from "./orphaned-wal.ts";
import {
  createDatabaseFile,
  isSideFile,
  kindOf,
  refuseUnsafePlace,
  keepPrivate,
} from "./database-files.ts";
import { verifyDatabase, isDamage, type LastOrder, verifyOrThrow } from "./integrity.ts";

/** Number of ids to skip if the old database is unreadable, so that none is reused. */
const SKIPPED_IDS = 1_000_000;

/** Tables whose ids are never reused. */
const TABLES_WITH_IDS = ["users", "orders", "order_events"];

/** Result of a restore. */
interface Restoration {
  /** The newest order in the restored database. */
  readonly restored: LastOrder | undefined;
  /** Whether the backup is a database file in WAL mode that was copied without its log. */
  readonly isRawCopy: boolean;
  /** The newest order in the old database; undefined if it had none, or was unreadable. */
  readonly old: LastOrder | undefined;
  /** False if there was an old database that could not be read. */
  readonly isOldReadable: boolean;
  /** Path of the old database; undefined if it did not exist. */
  readonly kept: string | undefined;
}

/**
 * Replaces the SQLite database at `path` with the backup at `from`. Keeps the old database next
 * to it, under a name that contains `time`. At any moment, `path` is the complete old or the
 * complete new database. Ids of the old database are not reused. Throws `DatabaseUnusable`, also
 * if a service is using the database. Blocks the event loop between checkpoints.
 */
export function* checkpointedRestore(
  from: string,
  path: string,
  time: string,
): Checkpointed<Restoration> {
  try {
    const isRawCopy = inspectBackup(from);
    refuseOwnFile(from, path);
    const restored = verifyOrThrow(from, `The backup ${from}`);
    yield { name: "verified", canStop: true };
    const isLost = orphanedWal(path) !== undefined;
    // The lock needs the file to exist, and prevents a service from starting meanwhile.
    createDatabaseFile(path);
    const unlock = lockDatabase(path);
    try {
      yield { name: "locked", canStop: true };
      // A rename to a symbolic link would replace the link, not the database.
      const replaced = yield* replaceDatabase(from, realpathSync(path), isLost, time);
      return { restored, isRawCopy, ...replaced };
    } finally {
      unlock();
    }
  } catch (error) {
    if (error instanceof DatabaseUnusable) throw error;
    throw new DatabaseUnusable(
      `${from} can't be restored to ${path}: ${describeFileError(error)}.`,
      { cause: error },
    );
  }
}

/** `isLost`: whether the old database was deleted, but its log was not. */
function* replaceDatabase(
  from: string,
  path: string,
  isLost: boolean,
  time: string,
): Checkpointed<Pick<Restoration, "old" | "isOldReadable" | "kept">> {
  const next = `${path}.restoring`;
  try {
    const exists = sizeOf(path) > 0 || orphanedWal(path) !== undefined;
    const old = exists || isLost ? readOld(path) : NOTHING;
    rmSync(next, { force: true });
    copyDatabase(from, next);
    yield { name: "copied", canStop: true };
    raiseSequences(next, old.sequences);
    sync(next);
    yield { name: "raised", canStop: true };
    const kept = exists ? `${path}.before-${time}` : undefined;
    if (kept !== undefined) keepOld(path, kept);
    // SQLite would apply the old database's logs to the new one.
    for (const file of [walPath(path), journalPath(path)]) rmSync(file, { force: true });
    yield { name: "kept", canStop: false };
    renameSync(next, path);
    sync(dirname(path));
    yield { name: "renamed", canStop: false };
    const isOldReadable = old.sequences !== undefined;
    return { old: old.lastOrder, isOldReadable, kept };
  } finally {
    for (const file of [next, `${next}-journal`]) rmSync(file, { force: true });
  }
}

/**
 * Returns whether the backup is a raw copy without its log. Throws `DatabaseUnusable` if it is not
 * a file.
 */
function inspectBackup(path: string): boolean {
  const file = fileAt(path);
  if (file === undefined) throw new DatabaseUnusable(`There is no backup ${path}.`);
  if (!file.isFile()) throw new DatabaseUnusable(`${path} is not a backup: ${kindOf(file)}.`);
  // Opening an empty database would delete its log.
  const log = orphanedWal(path);
  if (log !== undefined) {
    throw new DatabaseUnusable(`The backup ${path} is empty, but its log ${log} is not.`);
  }
  return readHeader(path).isInWalMode && sizeOf(walPath(path)) === 0;
}

/**
 * Throws `DatabaseUnusable` like `refuseUnsafePlace`, and also if `from` is a file of the database
 * at `path`.
 */
function refuseOwnFile(from: string, path: string): void {
  refuseUnsafePlace(path);
  const [backup, database] = [statSync(from), fileAt(path)];
  if (backup.ino === database?.ino && backup.dev === database.dev) {
    throw new DatabaseUnusable(`${from} is the database ${path} itself: name a backup.`);
  }
  if (isSideFile(from, path)) {
    throw new DatabaseUnusable(`${from} is a file of the database ${path}: name a backup.`);
  }
}

/** A row of SQLite's `sqlite_sequence`: `seq` is the highest id that the table has used. */
interface Sequence {
  readonly name: string;
  readonly seq: number;
}

interface OldDatabase {
  /** Undefined if unreadable. */
  readonly sequences: readonly Sequence[] | undefined;
  readonly lastOrder: LastOrder | undefined;
}

const NOTHING: OldDatabase = { sequences: [], lastOrder: undefined };

/** Reads the old database's sequences and newest order. */
function readOld(path: string): OldDatabase {
  // Opening an empty database would delete its log.
  if (sizeOf(path) === 0) return { sequences: undefined, lastOrder: undefined };
  try {
    const { isNew, findings, lastOrder } = verifyDatabase(path);
    if (isNew) return NOTHING;
    if (findings.length > 0) return { sequences: undefined, lastOrder };
    using database = new Database(path, { readonly: true });
    return { sequences: readSequences(database), lastOrder };
  } catch {
    // The database of a newer version or a different program: the used ids are unknown.
    return { sequences: undefined, lastOrder: undefined };
  }
}

/** Raises the sequences so that no id of the old database is reused. */
function raiseSequences(path: string, old: readonly Sequence[] | undefined) {
  using database = new Database(path, { readwrite: true, strict: true });
  database.run("PRAGMA synchronous = FULL");
  const own = new Map(readSequences(database).map(({ name, seq }) => [name, seq]));
  const least =
    old ?? TABLES_WITH_IDS.map((name) => ({ name, seq: (own.get(name) ?? 0) + SKIPPED_IDS }));
  for (const { name, seq } of least) {
    const change = own.has(name)
      ? "UPDATE sqlite_sequence SET seq = max(seq, $seq) WHERE name = $name"
      : "INSERT INTO sqlite_sequence (name, seq) VALUES ($name, $seq)";
    database.query(change).run({ seq, name });
  }
}

function readSequences(database: Database): Sequence[] {
  return database.query<Sequence, []>("SELECT name, seq FROM sqlite_sequence").all();
}

/** Copies the old database, including its logs, to `kept`. Leaves no incomplete copy. */
function keepOld(path: string, kept: string) {
  const isReadable = checkpointLog(path);
  const copies = ["", "-wal", "-journal", "-shm"].map((suffix) => kept + suffix);
  try {
    copyOld(path, kept, isReadable);
    keepPrivate(copies);
  } catch (error) {
    for (const copy of copies) rmSync(copy, { force: true });
    throw error;
  }
}

function copyOld(path: string, kept: string, isReadable: boolean) {
  // A copy, not a hard link: each name of a database has its own log.
  copyFileSync(path, kept);
  if (isReadable) turnWalOff(kept);
  sync(kept);
  for (const [file, name] of [
    [walPath(path), `${kept}-wal`],
    [journalPath(path), `${kept}-journal`],
  ] as const) {
    if (sizeOf(file) === 0) continue;
    copyFileSync(file, name);
    sync(name);
  }
}

/** Turns WAL mode off, so that a later restore of the copy does not warn of a missing log. */
function turnWalOff(kept: string) {
  using database = new Database(kept, { readwrite: true });
  database.run("PRAGMA journal_mode = DELETE");
}

/**
 * Checkpoints the write-ahead log. Returns false if the database is corrupt; throws if it is being
 * read.
 */
function checkpointLog(path: string): boolean {
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
    `The database ${path} is being read by another program: stop that program first.`,
  );
}
