import { chmodSync, readFileSync, statSync } from "node:fs";
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
  const uid = statSync(databasePath, { throwIfNoEntry: false })?.uid;
  if (process.geteuid?.() !== 0 || uid === undefined || uid === 0) return;
  const owner = nameOf(uid);
  throw new DatabaseUnusable(
    `The database ${databasePath} belongs to ${owner}, not to root: use runuser -u ${owner} -- nmservis …`,
  );
}

function nameOf(uid: number): string {
  const users = readFileSync("/etc/passwd", "utf8").split("\n");
  return users.find((line) => line.split(":")[2] === String(uid))?.split(":")[0] ?? `#${uid}`;
}
