import { statSync } from "node:fs";
import { Unavailable } from "../../errors.ts";

/**
 * At this size, a reader has been open for too long: SQLite can't restart the log until the reader
 * closes.
 */
const LARGE_LOG_BYTES = 64 * 1024 * 1024;

/**
 * The files of a database. `sharedMemory` is SQLite's index of the write-ahead log, shared by all
 * processes that use the database.
 */
export interface DatabasePaths {
  readonly database: string;
  readonly log: string;
  readonly sharedMemory: string;
  readonly lock: string;
}

/**
 * Returns a check that throws `Unavailable` if one of the files was deleted or replaced since this
 * call. SQLite would keep writing to a deleted file or, without the shared memory, overwrite the
 * log while another process reads it. The check calls `onLargeLog` with the log's size each time it
 * becomes large.
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
        throw new Unavailable(`the file ${path} was deleted or replaced while in use`);
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
