import { chmodSync, readFileSync, statSync } from "node:fs";
import { DatabaseUnusable } from "../errors.ts";

/** What anybody but the owner may do with a file. */
const OTHERS = 0o077;

/** Lets nobody but the owner read or write what stands at these paths; what is not there, or not ours, stays. */
export function keepPrivate(paths: readonly string[]): void {
  for (const path of paths) {
    const file = statSync(path, { throwIfNoEntry: false });
    if (file === undefined || file.uid !== process.geteuid?.()) continue;
    if ((file.mode & OTHERS) !== 0) chmodSync(path, 0o600);
  }
}

/**
 * Throws `DatabaseUnusable` where root is about to open another user's database: the files that SQLite makes
 * beside it would be root's, and stop the service later.
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
