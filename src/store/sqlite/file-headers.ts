import { closeSync, fstatSync, openSync } from "node:fs";
import { Unavailable } from "../../errors.ts";
import { readAt, readFrom } from "./file-system.ts";

/**
 * SQLite's read and write versions in the database's header: both are 2 in WAL mode, and 1 in a
 * backup.
 */
const WAL_FORMAT = 2;
const FORMAT_OFFSET = 18;

/**
 * Offset of a counter that SQLite never decreases. While a single process writes, it stays the same
 * after the first change.
 */
const CHANGES_OFFSET = 24;

/** Offset of the database's size in pages. Only VACUUM decreases it, and increases the counter. */
const PAGES_OFFSET = 28;

const HEADER_BYTES = PAGES_OFFSET + 4;

/** The first bytes of a write-ahead log. The lowest bit is the byte order of its checksums. */
const WAL_MAGIC = 0x377f0682;
const MAGIC_BYTES = 4;

/** The part of a database's header that shows whether another file was copied over it. */
interface Header {
  readonly isInWalMode: boolean;
  readonly changes: number;
  readonly pages: number;
}

/** Reads the header of the database at `path`, which this process must not have open. */
export function readHeader(path: string): Header {
  return parseHeader(readAt(path, 0, HEADER_BYTES));
}

function parseHeader(header: Buffer): Header {
  const format = header.subarray(FORMAT_OFFSET, FORMAT_OFFSET + 2);
  return {
    isInWalMode: format.every((byte) => byte === WAL_FORMAT),
    changes: header.readUInt32BE(CHANGES_OFFSET),
    pages: header.readUInt32BE(PAGES_OFFSET),
  };
}

/** Watches the headers of a database in WAL mode and of its log. */
interface HeadersWatch {
  /** Throws `Unavailable` if one of the files was overwritten. */
  check(): void;
  /** Stops watching. Call it after the database is closed: it releases SQLite's locks on the file. */
  close(): void;
}

/**
 * Watches for files overwritten in place: `cp` of a backup or an older copy to the database, or a
 * log that was emptied to free disk space. SQLite does not notice, and orders would be lost.
 */
export function watchHeaders({
  database,
  wal,
}: {
  readonly database: string;
  readonly wal: string;
}): HeadersWatch {
  const descriptor = openSync(database, "r");
  const walDescriptor = openSync(wal, "r");
  const readCurrent = () => parseHeader(readFrom(descriptor, 0, HEADER_BYTES));
  let last = readCurrent();

  /** Returns whether the log has lost its header. One without content has none yet. */
  function isLogOverwritten(): boolean {
    if (fstatSync(walDescriptor).size === 0) return false;
    return (readFrom(walDescriptor, 0, MAGIC_BYTES).readUInt32BE() & ~1) !== WAL_MAGIC;
  }

  /** Returns the path of the overwritten file, if any. */
  function findOverwritten(): string | undefined {
    if (isLogOverwritten()) return wal;
    const header = readCurrent();
    // If the file was overwritten before, its log may contain everything. Then the format changes
    // with the first checkpoint.
    const wasReset = last.isInWalMode && !header.isInWalMode;
    const isOlder =
      header.changes < last.changes ||
      (header.changes === last.changes && header.pages < last.pages);
    if (wasReset || isOlder) return database;
    last = header;
    return undefined;
  }

  return {
    check() {
      const overwritten = findOverwritten();
      if (overwritten === undefined) return;
      throw new Unavailable(`the file ${overwritten} was overwritten while in use`);
    },
    close() {
      closeSync(descriptor);
      closeSync(walDescriptor);
    },
  };
}
