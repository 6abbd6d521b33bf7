import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  statSync,
  chmodSync,
  type Stats,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { Unavailable } from "../../errors.ts";
import { DatabaseUnusable, describeFileError } from "../errors.ts";
import { requireDatabaseOfWal, targetOf } from "./orphaned-wal.ts";

/**
 * Linux: opens a descriptor without access to the file. Closing any other kind would release
 * SQLite's locks on the file.
 */
const O_PATH = 0o10000000;

/** Permission bits of group and others. */
const OTHERS = 0o077;

/** Suffixes that SQLite, the lock and `restore` append to the database's name. */
const SIDE_SUFFIXES = ["-wal", "-shm", "-journal", ".lock", ".restoring", ".restoring-journal"];

/**
 * At this size, a reader has been open for too long: SQLite can't restart the log until the reader
 * closes.
 */
const LARGE_WAL_BYTES = 64 * 1024 * 1024;

/**
 * Throws `DatabaseUnusable` like `refuseUnsafePlace`, and also if there is no file at `path`, or
 * only its log.
 */
export function requireDatabase(path: string): void {
  const exists = refuseUnsafePlace(path);
  requireDatabaseOfWal(path);
  if (!exists) throw new DatabaseUnusable(`There is no database ${path}.`);
}

/**
 * Creates an empty file at `path`, and its folder, if missing. Throws like `refuseUnsafePlace`, and
 * also if root would create the file in another user's folder.
 */
export function createDatabaseFile(path: string): void {
  if (!refuseUnsafePlace(path)) refuseRootInFolder(dirname(targetOf(path)));
  mkdirSync(dirname(path), { recursive: true });
  closeSync(openSync(path, "a", 0o600));
}

/**
 * Returns whether there is a file at `path`. Throws `DatabaseUnusable` if opening it is unsafe: if
 * it is not a regular file, if root would open another user's file, or if the file has a second
 * path. SQLite's log and our lock are named after the path. With two paths, two processes could
 * write at the same time, and commits in one log would be missing from the other.
 */
export function refuseUnsafePlace(path: string): boolean {
  const refuse = (reason: string) => new DatabaseUnusable(`The database ${path} ${reason}.`);
  const file = statOf(path, refuse);
  if (file === undefined) return false;
  if (!file.isFile()) throw refuse(`can't be opened: ${kindOf(file)}`);
  refuseRoot(path);
  if (file.nlink > 1) {
    throw refuse(
      `has ${file.nlink} names (hard links), each with its own log, so orders could be lost: remove all names but one`,
    );
  }
  if (isMountedAlone(realpathSync(path))) {
    throw refuse(
      "is mounted as a single file, without its log, so orders could be lost: mount its folder instead",
    );
  }
  return true;
}

/** Returns whether `file`, which may be missing, has a name reserved for the database at `path`. */
export function isSideFile(file: string, path: string): boolean {
  const name = join(realpathSync(dirname(file)), basename(file));
  return SIDE_SUFFIXES.some((suffix) => name === `${resolve(targetOf(path))}${suffix}`);
}

/** Describes a file that is not a regular file. */
export function kindOf(file: { isDirectory(): boolean }): string {
  return file.isDirectory() ? "it is a folder" : "it is not a regular file";
}

function statOf(path: string, refuse: (reason: string) => DatabaseUnusable) {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw refuse(`can't be opened: ${describeFileError(error)}`);
  }
}

/** Compares mount ids, because a bind mount within one file system has the same device number. */
function isMountedAlone(realPath: string): boolean {
  return mountOf(realPath) !== mountOf(dirname(realPath));
}

/** Returns the id of the path's mount; undefined if the system does not provide it. */
function mountOf(path: string): string | undefined {
  if (process.platform !== "linux") return undefined;
  const descriptor = openSync(path, O_PATH);
  try {
    const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8");
    return /^mnt_id:\s*(\d+)$/m.exec(info)?.[1];
  } catch {
    // A container may have no /proc.
    return undefined;
  } finally {
    closeSync(descriptor);
  }
}

/** Makes the files accessible to their owner only. Skips missing files and files of other users. */
export function keepPrivate(paths: readonly string[]): void {
  for (const path of paths) {
    const file = statSync(path, { throwIfNoEntry: false });
    if (file === undefined || file.uid !== process.geteuid?.()) continue;
    if ((file.mode & OTHERS) !== 0) chmodSync(path, 0o600);
  }
}

/**
 * Throws `DatabaseUnusable` if root is about to open another user's database. The files that SQLite
 * creates next to it would belong to root, and stop the service later.
 */
export function refuseRoot(databasePath: string): void {
  refuseRootOn("database", databasePath);
}

/**
 * Throws `DatabaseUnusable` if root is about to create a file or folders in another user's folder.
 * If `folder` is missing, its nearest existing parent counts.
 */
export function refuseRootInFolder(folder: string): void {
  const parent = dirname(folder);
  const exists = statSync(folder, { throwIfNoEntry: false }) !== undefined;
  if (exists || parent === folder) return refuseRootOn("folder", folder);
  refuseRootInFolder(parent);
}

function refuseRootOn(kind: "database" | "folder", path: string): void {
  const uid = statSync(path, { throwIfNoEntry: false })?.uid;
  if (process.geteuid?.() !== 0 || uid === undefined || uid === 0) return;
  const owner = nameOf(uid);
  throw new DatabaseUnusable(
    `The ${kind} ${path} belongs to ${owner}, not to root: use runuser -u ${owner} -- nmservis …`,
  );
}

function nameOf(uid: number): string {
  const users = readFileSync("/etc/passwd", "utf8").split("\n");
  return users.find((line) => line.split(":")[2] === String(uid))?.split(":")[0] ?? `#${uid}`;
}

/**
 * The files of a database. `sharedMemory` is SQLite's index of the write-ahead log, shared by all
 * processes that use the database.
 */
export interface DatabasePaths {
  readonly database: string;
  readonly wal: string;
  readonly sharedMemory: string;
  readonly lock: string;
}

/**
 * Complete checks after a change of a folder, and the number of checks between later complete ones.
 * Folders' timestamps have a resolution of up to 10 ms, and 1,000 transactions take longer.
 */
const COMPLETE_CHECKS = 1000;

/**
 * Returns a check that throws `Unavailable` if one of the files was deleted or replaced since this
 * call. SQLite would keep writing to a deleted file or, without the shared memory, overwrite the
 * log while another process reads it. The check calls `onLargeWal` with the WAL's size when it has
 * become large.
 */
export function watchDatabaseFiles(
  paths: DatabasePaths,
  onLargeWal: (bytes: number) => void,
): () => void {
  const opened = Object.values(paths).map((path) => ({ path, file: fileAt(path) }));
  const folders = Array.from(new Set(Object.values(paths).map(dirname)), (path) => ({
    path,
    state: fileAt(path),
  }));
  let wasLarge = false;
  let unchangedChecks = 0;

  // Deleting or replacing a file changes its folder, so most checks only look at that. Asking for
  // the WAL's own status is expensive: Linux (from 6.13) then gives each later write a new
  // timestamp, and so each sync writes the file system's journal too, which takes 0.1 ms.
  return function checkFiles() {
    unchangedChecks = haveChanged() ? 0 : unchangedChecks + 1;
    if (unchangedChecks < COMPLETE_CHECKS || unchangedChecks % COMPLETE_CHECKS === 0) checkEach();
  };

  function haveChanged(): boolean {
    let areChanged = false;
    for (const folder of folders) {
      const state = fileAt(folder.path);
      areChanged ||= !isSame(state, folder.state) || state?.mtimeMs !== folder.state?.mtimeMs;
      folder.state = state;
    }
    return areChanged;
  }

  function checkEach() {
    for (const { path, file } of opened) {
      const found = fileAt(path);
      if (found === undefined || !isSame(found, file)) {
        // The next check must be complete too: the file may still be missing.
        unchangedChecks = -1;
        throw new Unavailable(`the file ${path} was deleted or replaced while in use`);
      }
      if (path !== paths.wal) continue;
      const isLarge = found.size >= LARGE_WAL_BYTES;
      if (isLarge && !wasLarge) onLargeWal(found.size);
      wasLarge = isLarge;
    }
  }
}

function isSame(a: Stats | undefined, b: Stats | undefined): boolean {
  return a?.ino === b?.ino && a?.dev === b?.dev;
}

function fileAt(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}
