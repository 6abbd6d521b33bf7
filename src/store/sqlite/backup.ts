import { Database } from "bun:sqlite";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseUnusable } from "../errors.ts";
import { requireDatabase } from "./safe-path.ts";
import { type LastOrder, verifyOrThrow, rollBackJournal } from "./integrity.ts";
import { describeFileFault, systemCode } from "./file-errors.ts";
import { type OnStep, runSteps, type Steps } from "./checkpoints.ts";

/** Gives a file a second name, or throws if the file system has no hard links. */
type Link = (existing: string, name: string) => void;

/** Content of the file that reserves a backup's name until the rename. A kill may leave it. */
const PLACEHOLDER = "This backup is not finished.\n";

/** The longest name on the usual file systems. */
const MAX_NAME_BYTES = 255;

/**
 * Copies the SQLite database at `from`, which a service may be writing to, to the file `to`: whole as it was at
 * one moment after the call, or not at all. It never overwrites. Answers with the last order in it. Throws
 * `DatabaseUnusable`. Nothing else goes on in this process meanwhile.
 */
export function backupDatabase(
  from: string,
  to: string,
  onStep: OnStep = () => {},
  link: Link = linkSync,
): LastOrder | undefined {
  return runSteps(backupSteps(from, to, onStep, link));
}

/** The steps of `backupDatabase`. */
export function* backupSteps(
  from: string,
  to: string,
  onStep: OnStep = () => {},
  link: Link = linkSync,
): Steps<LastOrder | undefined> {
  requireDatabase(from);
  const isThere = `${to} is there already, and is not overwritten.`;
  const folder = dirname(to);
  if (!existsSync(folder)) throw new DatabaseUnusable(`There is no folder ${folder}.`);
  const part = partOf(to);
  requireShortName(to, part);
  try {
    removeAbandonedParts(folder, (name) => name === basename(to));
    if (existsSync(to)) throw new DatabaseUnusable(isThere);
    removePart(part);
    // If the file can't be created, this error has a reason and SQLite's has none.
    closeSync(openSync(part, "wx", 0o600));
    try {
      copyDatabase(from, part);
      onStep("copied");
      yield;
      const lastOrder = verifyOrThrow(part, `The copy of ${from}`);
      yield;
      sync(part);
      onStep("synced");
      yield;
      giveName(part, to, link, onStep);
      onStep("linked");
      removePart(part);
      sync(folder);
      return lastOrder;
    } finally {
      removePart(part);
    }
  } catch (error) {
    if (error instanceof DatabaseUnusable) throw error;
    if (systemCode(error) === "EEXIST") throw new DatabaseUnusable(isThere);
    throw new DatabaseUnusable(
      `${from} can't be backed up to ${to}: ${describeFileFault(error)}.`,
      { cause: error },
    );
  }
}

/** Where this process writes a backup until it is whole. */
export function partOf(to: string): string {
  return `${to}.${process.pid}.part`;
}

function requireShortName(to: string, part: string) {
  const excess = Buffer.byteLength(`${basename(part)}-journal`) - MAX_NAME_BYTES;
  if (excess <= 0) return;
  const most = Buffer.byteLength(basename(to)) - excess;
  throw new DatabaseUnusable(
    `The name of ${to} is too long: choose one of ${most} bytes or fewer.`,
  );
}

/** Gives the part its final name. Throws EEXIST if another process has created that file meanwhile. */
function giveName(part: string, to: string, link: Link, onStep: OnStep) {
  try {
    // A rename would overwrite a file that was created meanwhile.
    return link(part, to);
  } catch (error) {
    if (systemCode(error) === "EEXIST") throw error;
    // exFAT and SMB have no hard links. Any other error occurs again below.
  }
  closeSync(openSync(to, "wx", 0o600));
  try {
    writeFileSync(to, PLACEHOLDER);
    onStep("reserved");
    renameSync(part, to);
  } catch (error) {
    rmSync(to);
    throw error;
  }
}

/** Copies a database, including its write-ahead log, to a new or empty file. */
export function copyDatabase(from: string, to: string) {
  rollBackJournal(from);
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
    const [, name, pid] = /^(.+)\.(\d+)\.part(-journal)?$/.exec(part) ?? [];
    if (name === undefined || !isOurs(name) || isRunning(Number(pid))) continue;
    rmSync(join(folder, part), { force: true });
    removePlaceholder(join(folder, name));
  }
}

function removePlaceholder(file: string) {
  if (statSync(file, { throwIfNoEntry: false })?.size !== PLACEHOLDER.length) return;
  if (readFileSync(file, "utf8") === PLACEHOLDER) rmSync(file, { force: true });
}

function removePart(part: string) {
  for (const file of [part, `${part}-journal`]) rmSync(file, { force: true });
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
