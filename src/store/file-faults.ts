import { SQLiteError } from "bun:sqlite";
import { reasonOf } from "../log.ts";

/** Such as "EACCES: permission denied, open '/x'", where the sentence around it already names the file. */
const SYSTEM_MESSAGE = /^(E[A-Z0-9]+): (.+?), \w+/;

/** Describes why a file can't be used, to follow a colon in a sentence: `permission denied (EACCES)`. */
export function describeFileFault(fault: unknown): string {
  if (!(fault instanceof Error)) return reasonOf(fault);
  // The cause says more than the error that wraps it.
  if (fault.cause !== undefined) return describeFileFault(fault.cause);
  const [, code, words] = SYSTEM_MESSAGE.exec(fault.message) ?? [];
  if (words !== undefined) return `${words} (${code})`;
  if (fault instanceof SQLiteError && fault.code === "SQLITE_CANTOPEN") {
    return "SQLite can't open it or create files beside it, check the permissions of its folder";
  }
  return fault.message;
}

/** The error code of the operating system, such as `ENOENT`; undefined if it is another error. */
export function systemCode(fault: unknown): string | undefined {
  const isSystem = fault instanceof Error && "code" in fault && "syscall" in fault;
  return isSystem ? String(fault.code) : undefined;
}
