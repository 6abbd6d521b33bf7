import { closeSync, openSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseUnusable } from "./database-lock.ts";
import { describeFileFault } from "./file-faults.ts";
import { refuseRoot } from "./file-owner.ts";

/** Linux: opens no file, only names it. Closing any other descriptor would end SQLite's locks on the file. */
const O_PATH = 0o10000000;

/** Throws `DatabaseUnusable` if there is no database file at `path`, or like `refuseUnsafePlace`. */
export function requireDatabase(path: string): void {
  if (!refuseUnsafePlace(path)) throw new DatabaseUnusable(`There is no database ${path}.`);
}

/**
 * Returns whether there is a file at `path`. Throws `DatabaseUnusable` if it must not be opened: if it is no
 * regular file, if root would open another user's, or if a second path leads to it. SQLite's log and our lock
 * lie beside the path, so two paths have two of each: two processes write at once, and commits get lost.
 */
export function refuseUnsafePlace(path: string): boolean {
  const refuse = (reason: string) => new DatabaseUnusable(`The database ${path} ${reason}.`);
  const file = statOf(path, refuse);
  if (file === undefined) return false;
  if (!file.isFile()) throw refuse(`can't be opened: ${kindOf(file)}`);
  refuseRoot(path);
  if (file.nlink > 1) {
    throw refuse(
      `has ${file.nlink} names (hard links), and orders would be lost if it were opened by another: remove all names but one`,
    );
  }
  if (isMountedAlone(realpathSync(path))) {
    throw refuse(
      "is mounted as a single file, and orders would be lost because its log is not: mount its folder instead",
    );
  }
  return true;
}

/** Says what a path leads to that is no regular file. */
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

/** A bind mount within one file system has the same device, so the ids of the mounts are compared. */
function isMountedAlone(realPath: string): boolean {
  return mountOf(realPath) !== mountOf(dirname(realPath));
}

/** The id of the mount that a path is on; undefined if the system does not tell. */
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
