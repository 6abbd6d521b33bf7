import { closeSync, mkdirSync, openSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DatabaseUnusable } from "../errors.ts";
import { describeFileFault } from "./file-errors.ts";
import { refuseRoot, refuseRootInFolder } from "./file-owner.ts";
import { requireDatabaseOfLog, targetOf } from "./orphaned-log.ts";

/**
 * Linux: opens a descriptor without access to the file. Closing any other kind would release
 * SQLite's locks on it.
 */
const O_PATH = 0o10000000;

/**
 * Throws `DatabaseUnusable` like `refuseUnsafePlace`, and also if there is no file at `path`, or
 * only a log of it.
 */
export function requireDatabase(path: string): void {
  const exists = refuseUnsafePlace(path);
  requireDatabaseOfLog(path);
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

/** What SQLite, the lock and `restore` append to a database's name for their own files. */
const SIDE_SUFFIXES = ["-wal", "-shm", "-journal", ".lock", ".restoring", ".restoring-journal"];

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
    throw refuse(`can't be opened: ${describeFileFault(error)}`);
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
