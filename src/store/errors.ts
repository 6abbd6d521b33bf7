import { SQLiteError } from "bun:sqlite";
import { reasonOf } from "../log.ts";

/** The database can't be used as requested. The message is a full sentence for the owner. */
export class DatabaseUnusable extends Error {
  override readonly name = "DatabaseUnusable";
}

/** Matches "EACCES: permission denied, open '/x'". Our messages name the file already. */
const SYSTEM_MESSAGE = /^(E[A-Z0-9]+): (.+?), \w+/;

/** SQLite's errors if the folder or the disk permits no new files, such as the -wal and -shm. */
const NO_SIDE_FILES = /^SQLITE_(CANTOPEN|READONLY_DIRECTORY)$/;

/** Describes a file error without a full stop, such as `permission denied (EACCES)`. */
export function describeFileError(error: unknown): string {
  if (!(error instanceof Error)) return reasonOf(error);
  // The cause is more specific than the error that wraps it.
  if (error.cause !== undefined) return describeFileError(error.cause);
  const [, code, reason] = SYSTEM_MESSAGE.exec(error.message) ?? [];
  if (reason !== undefined) return `${reason} (${code})`;
  if (error instanceof SQLiteError && NO_SIDE_FILES.test(error.code ?? "")) {
    return "SQLite can't open it, or can't create its -wal and -shm: check the permissions of its folder, and its disk's free inodes with df -i";
  }
  if (error instanceof SQLiteError && error.code === "SQLITE_IOERR_SHMSIZE") {
    return "the disk is full: there is no space for SQLite's -shm";
  }
  return error.message;
}

/** Returns the operating system's error code, such as `ENOENT`; undefined for any other error. */
export function systemCode(error: unknown): string | undefined {
  const isSystem = error instanceof Error && "code" in error && "syscall" in error;
  return isSystem ? String(error.code) : undefined;
}
