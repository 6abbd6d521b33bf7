import { statSync } from "node:fs";
import { Unavailable } from "../errors.ts";

/** Some reader has been open for long when the log is this large: SQLite can't begin it anew meanwhile. */
const LARGE_LOG_BYTES = 64 * 1024 * 1024;

export interface DatabaseFilesParts {
  readonly databasePath: string;
  /** SQLite's write-ahead log. */
  readonly logPath: string;
  readonly lockPath: string;
  /** Hears of the log's size in bytes, once each time that it has become large. */
  readonly onLargeLog: (bytes: number) => void;
}

/**
 * Remembers which files stand at these paths now. The check throws `Unavailable` where one of them is gone
 * or another has taken its place: SQLite would go on writing to a file that nobody finds again.
 */
export function watchDatabaseFiles(dependencies: DatabaseFilesParts): () => void {
  const { databasePath, logPath, lockPath, onLargeLog } = dependencies;
  const opened = [databasePath, logPath, lockPath].map((path) => ({ path, file: fileAt(path) }));
  let wasLarge = false;

  return function checkFiles() {
    for (const { path, file } of opened) {
      const found = fileAt(path);
      if (found === undefined || found.ino !== file?.ino || found.dev !== file.dev) {
        throw new Unavailable(`the file ${path} was deleted or replaced while it is in use`);
      }
      if (path === logPath) checkSize(found.size);
    }
  };

  function checkSize(bytes: number) {
    const isLarge = bytes >= LARGE_LOG_BYTES;
    if (isLarge && !wasLarge) onLargeLog(bytes);
    wasLarge = isLarge;
  }
}

function fileAt(path: string) {
  return statSync(path, { throwIfNoEntry: false });
}
