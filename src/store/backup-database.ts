import { Database } from "bun:sqlite";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  rmSync,
  unlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseUnusable } from "./database-lock.ts";
import { type LastOrder, requireWhole } from "./examine-database.ts";
import { refuseRoot } from "./file-owner.ts";

/** Hears of each step that is done, for tests that end the process there. */
export type OnStep = (step: string) => void;

/**
 * Copies the SQLite database at `from`, which a service may be writing to, to the file `to`: whole as it was at
 * one moment after the call, or not at all. It never overwrites. Answers with the last order in it. Throws
 * `DatabaseUnusable`. Nothing else goes on in this process meanwhile.
 */
export function backupDatabase(
  from: string,
  to: string,
  onStep: OnStep = () => {},
): LastOrder | undefined {
  if (!existsSync(from)) throw new DatabaseUnusable(`There is no database ${from}.`);
  refuseRoot(from);
  if (existsSync(to)) throw new DatabaseUnusable(`${to} is there already, and stays as it is.`);
  const folder = dirname(to);
  if (!existsSync(folder)) throw new DatabaseUnusable(`There is no folder ${folder}.`);
  removeAbandonedParts(folder, (name) => name === basename(to));
  const part = partOf(to);
  try {
    copyDatabase(from, part);
    onStep("copied");
    const lastOrder = requireWhole(part);
    sync(part);
    onStep("synced");
    // Not a rename, which would overwrite what has come meanwhile.
    linkSync(part, to);
    onStep("linked");
    unlinkSync(part);
    sync(folder);
    return lastOrder;
  } catch (error) {
    if (error instanceof DatabaseUnusable) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new DatabaseUnusable(`${from} can't be backed up to ${to}: ${reason}.`, { cause: error });
  } finally {
    for (const file of [part, `${part}-journal`]) rmSync(file, { force: true });
  }
}

/** Where this process writes a backup until it is whole. */
export function partOf(to: string): string {
  return `${to}.${process.pid}.part`;
}

/** Copies a database, its write-ahead log included, to a file that is not there. */
export function copyDatabase(from: string, to: string) {
  using database = new Database(from, { readonly: true, strict: true });
  database.query("VACUUM INTO ?").run(to);
}

/** Has what is in the file, or which files are in the folder, be on disk. */
export function sync(path: string) {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Removes what backups have left in the folder that were ended before they were whole, of files that are `ours`. */
export function removeAbandonedParts(folder: string, isOurs: (name: string) => boolean): void {
  for (const part of readdirSync(folder)) {
    const [, name = "", pid] = /^(.+)\.(\d+)\.part(-journal)?$/.exec(part) ?? [];
    if (isOurs(name) && !isRunning(Number(pid))) rmSync(join(folder, part), { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process is one as well.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
