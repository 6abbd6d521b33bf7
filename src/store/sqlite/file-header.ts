import { closeSync, openSync, readSync } from "node:fs";
import { Unavailable } from "../../errors.ts";

/**
 * SQLite's read and write versions in the file header: both are 2 in WAL mode, and 1 in a backup.
 */
const WAL_FORMAT = 2;
const FORMAT_OFFSET = 18;

/** Offset of a counter that SQLite only increases. */
const CHANGES_OFFSET = 24;

const HEADER_BYTES = CHANGES_OFFSET + 4;

/** The part of a SQLite file's header that shows whether another file was copied over it. */
interface FileHeader {
  readonly isInWalMode: boolean;
  readonly changes: number;
}

/** Reads the header of the file at `path`, which no connection of this process may have open. */
export function readHeader(path: string): FileHeader {
  const descriptor = openSync(path, "r");
  try {
    return headerIn(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function headerIn(descriptor: number): FileHeader {
  // Zeros, if the file is shorter.
  const header = Buffer.alloc(HEADER_BYTES);
  readSync(descriptor, header, 0, HEADER_BYTES, 0);
  const format = header.subarray(FORMAT_OFFSET, FORMAT_OFFSET + 2);
  return {
    isInWalMode: format.every((byte) => byte === WAL_FORMAT),
    changes: header.readUInt32BE(CHANGES_OFFSET),
  };
}

/** Watches the header of a database in WAL mode. */
export interface HeaderWatch {
  /** Throws `Unavailable` if another file was copied over the database. */
  check(): void;
  /** Stops watching. Call it after the database is closed: it releases SQLite's locks on the file. */
  close(): void;
}

/**
 * Watches for a file copied over the database at `path`, such as `cp` with a backup or with an older
 * copy. SQLite does not notice, and later orders would be lost in a mix of both files.
 */
export function watchHeader(path: string): HeaderWatch {
  const descriptor = openSync(path, "r");
  let last = headerIn(descriptor);
  return {
    check() {
      const header = headerIn(descriptor);
      // If the file was overwritten earlier, its log may contain everything. Then the format changes
      // with the first checkpoint.
      const wasReset = last.isInWalMode && !header.isInWalMode;
      if (wasReset || header.changes < last.changes) {
        throw new Unavailable(`the file ${path} was overwritten while in use`);
      }
      last = header;
    },
    close: () => closeSync(descriptor),
  };
}
