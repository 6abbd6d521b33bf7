import { statSync } from "node:fs";
import { Unavailable } from "../errors.ts";

/** Some reader has been open for long when the log is this large: SQLite can't begin it anew meanwhile. */
const LARGE_LOG_BYTES = 64 * 1024 * 1024;

/** The database, SQLite's write-ahead log and the index of that log, and the lock. */
export interface DatabasePaths {
  readonly database: string;
  readonly log: string;
  readonly sharedMemory: string;
  readonly lock: string;
}

/**
 * Remembers which files stand at these paths now. The check throws `Unavailable` where one of them is gone or
 * another has taken its place: SQLite would go on writing to a file that nobody finds again, or, without
 * its shared memory, would overwrite the log while another process reads it. `onLargeLog` hears of the
 * log's size each time that it becomes large.
 */
export function watchDatabaseFiles(
  paths: DatabasePaths,
  onLargeLog: (bytes: number) => void,
): () => void {
  const opened = Object.values(paths).map((path) => ({ path, file: fileAt(path) }));
  let wasLarge = false;

  return function checkFiles() {
    for (const { path, file } of opened) {
      const found = fileAt(path);
      if (found === undefined || found.ino !== file?.ino || found.dev !== file.dev) {
        throw new Unavailable(`the file ${path} was deleted or replaced while it is in use`);
      }
      if (path !== paths.log) continue;
      const isLarge = found.size >= LARGE_LOG_BYTES;
      if (isLarge && !wasLarge) onLargeLog(found.size);
      wasLarge = isLarge;
    }
  };
}

function fileAt(path: string) {
  return statSync(path, { throwIfNoEntry: false });
}
