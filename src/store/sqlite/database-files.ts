import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  chmodSync,
  type Stats,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { Unavailable } from "../../errors.ts";
import type { Clock } from "../../ports.ts";
import { DatabaseUnusable, describeFileError } from "../errors.ts";
import { fileAt } from "./file-system.ts";
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
 * At this size, a reader has been open for too long: SQLite can't restart the WAL until the reader
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
  let file: Stats | undefined;
  try {
    file = fileAt(path);
  } catch (error) {
    throw refuse(`can't be opened: ${describeFileError(error)}`);
  }
  if (file === undefined) return false;
  if (!file.isFile()) throw refuse(`can't be opened: ${kindOf(file)}`);
  refuseRoot("database", path);
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
    const file = fileAt(path);
    if (file === undefined || file.uid !== process.geteuid?.()) continue;
    if ((file.mode & OTHERS) !== 0) chmodSync(path, 0o600);
  }
}

/**
 * Throws `DatabaseUnusable` if root is about to create a file or folders in another user's folder.
 * If `folder` is missing, its nearest existing parent counts.
 */
function refuseRootInFolder(folder: string): void {
  const parent = dirname(folder);
  if (fileAt(folder) !== undefined || parent === folder) return refuseRoot("folder", folder);
  refuseRootInFolder(parent);
}

/**
 * Throws `DatabaseUnusable` if root is about to use another user's database or folder. The files
 * that SQLite creates in it would belong to root, and stop the service later.
 */
function refuseRoot(kind: "database" | "folder", path: string): void {
  const uid = fileAt(path)?.uid;
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
interface DatabasePaths {
  readonly database: string;
  readonly wal: string;
  readonly sharedMemory: string;
  readonly lock: string;
}

/** Time between complete checks. Most checks only look at the folders. */
const COMPLETE_EVERY_MS = 1000;

/**
 * For this long after a folder has changed, every check is complete: timestamps of some file systems
 * have a resolution of 2 s, so a second change may not be visible.
 */
const COMPLETE_AFTER_CHANGE_MS = 2500;

/**
 * Returns a check that throws `Unavailable` if one of the files was deleted or replaced since this
 * call. SQLite would keep writing to a deleted file or, without the shared memory, overwrite the
 * WAL while another process reads it. Complete checks include `checkHeaders`. The check calls
 * `onLargeWal` with the WAL's size when it has become large. `elapsed` is a monotonic clock in ms.
 */
export function watchDatabaseFiles(
  paths: DatabasePaths,
  elapsed: Clock,
  checkHeaders: () => void,
  onLargeWal: (bytes: number) => void,
): (isComplete?: boolean) => void {
  const opened = Object.values(paths).map((path) => ({ path, file: fileAt(path) }));
  const folders = Array.from(
    new Set([...foldersOf(paths.database), ...Object.values(paths).map(dirname)]),
  );
  let states = folders.map(fileAt);
  let completeUntil = elapsed() + COMPLETE_AFTER_CHANGE_MS;
  let nextCompleteAt = 0;
  let wasLarge = false;

  // Deleting or replacing a file changes its folder. Asking for the WAL's own status each time is
  // expensive: Linux (from 6.13) then gives each later write a new timestamp, and so each sync
  // writes the file system's journal too, which takes 0.1 ms.
  return function checkFiles(isComplete = false) {
    const now = elapsed();
    if (haveChanged()) completeUntil = now + COMPLETE_AFTER_CHANGE_MS;
    if (!isComplete && now >= completeUntil && now < nextCompleteAt) return;
    // If it throws, the next check is complete too.
    nextCompleteAt = 0;
    checkEach();
    nextCompleteAt = now + COMPLETE_EVERY_MS;
  };

  function haveChanged(): boolean {
    const before = states;
    states = folders.map(fileAt);
    // Not `mtimeMs`, which programs that copy files set back.
    return states.some(
      (state, at) => !isSame(state, before[at]) || state?.ctimeMs !== before[at]?.ctimeMs,
    );
  }

  function checkEach() {
    for (const { path, file } of opened) {
      const found = fileAt(path);
      if (found === undefined || !isSame(found, file)) {
        throw new Unavailable(`the file ${path} was deleted or replaced while in use`);
      }
      if (path !== paths.wal) continue;
      const isLarge = found.size >= LARGE_WAL_BYTES;
      if (isLarge && !wasLarge) onLargeWal(found.size);
      wasLarge = isLarge;
    }
    checkHeaders();
  }
}

/** Returns the folder of the path and, if that is a symbolic link, those of the path it names. */
function foldersOf(path: string): string[] {
  const folder = dirname(path);
  if (!lstatSync(path).isSymbolicLink()) return [folder];
  return [folder, ...foldersOf(resolve(realpathSync(folder), readlinkSync(path)))];
}

function isSame(a: Stats | undefined, b: Stats | undefined): boolean {
  return a?.ino === b?.ino && a?.dev === b?.dev;
}
