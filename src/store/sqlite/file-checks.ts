import { statSync } from "node:fs";
import { Unavailable } from "../../errors.ts";

/** Some reader has been open for long when the log is this large: SQLite can't begin it anew meanwhile. */
const LARGE_LOG_BYTES = 64 * 1024 * 1024;

/** `sharedMemory` is SQLite's index of the write-ahead log, shared by all processes that use the database. */
export interface DatabasePaths {
  readonly database: string;
  readonly log: string;
  readonly sharedMemory: string;
  readonly lock: string;
}

/**
 * Remembers the files at these paths. The check throws `Unavailable` if one of them was deleted or replaced
 * since: SQLite would go on writing to a file that no longer has a name or, without the shared memory,
 * would overwrite the log while another process reads it. `onLargeLog` is called with the log's size each time
 * it becomes large.
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
