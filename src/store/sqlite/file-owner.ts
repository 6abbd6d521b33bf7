import { chmodSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseUnusable } from "../errors.ts";

/** Permission bits of group and others. */
const OTHERS = 0o077;

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
 * `folder` may be missing: then its nearest existing parent counts.
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
