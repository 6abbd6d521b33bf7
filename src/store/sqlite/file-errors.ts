import { SQLiteError } from "bun:sqlite";
import { reasonOf } from "../../log.ts";

/** Matches "EACCES: permission denied, open '/x'". Our sentences name the file themselves. */
const SYSTEM_MESSAGE = /^(E[A-Z0-9]+): (.+?), \w+/;

/** Describes an error with a file, without a full stop, such as `permission denied (EACCES)`. */
export function describeFileFault(fault: unknown): string {
  if (!(fault instanceof Error)) return reasonOf(fault);
  // The cause is more specific than the error that wraps it.
  if (fault.cause !== undefined) return describeFileFault(fault.cause);
  const [, code, words] = SYSTEM_MESSAGE.exec(fault.message) ?? [];
  if (words !== undefined) return `${words} (${code})`;
  if (fault instanceof SQLiteError && fault.code === "SQLITE_CANTOPEN") {
    return "SQLite can't open it, or can't create its -wal and -shm: check the permissions of its folder";
  }
  return fault.message;
}

/** Returns the operating system's error code, such as `ENOENT`; undefined for any other error. */
export function systemCode(fault: unknown): string | undefined {
  const isSystem = fault instanceof Error && "code" in fault && "syscall" in fault;
  return isSystem ? String(fault.code) : undefined;
}
