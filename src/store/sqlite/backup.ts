import { Database } from "bun:sqlite";
import {
  closeSync,
  existsSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseUnusable, describeFileError, systemCode } from "../errors.ts";
import { isSideFile, requireDatabase } from "./database-files.ts";
import { sizeOf, sync } from "./file-system.ts";
import { type LastOrder, verifyOrThrow, rollBackJournal } from "./integrity.ts";

/** Work that yields at each checkpoint. */
export type Checkpointed<Result> = Generator<Checkpoint, Result, void>;

interface Checkpoint {
  /** For tests, which kill the process at each checkpoint. */
  readonly name: string;
  /**
   * Whether the work can be interrupted: an error thrown into this checkpoint ends the work, which
   * then deletes its temporary files. False after the point of no return.
   */
  readonly canStop: boolean;
}

/** Creates a hard link. Throws if the file system does not support hard links. */
type Link = (existing: string, name: string) => void;

/** Content of the file that reserves a backup's name until the rename. A kill may leave it. */
const PLACEHOLDER = "This backup is not finished.\n";

/** Longest file name on common file systems. */
const MAX_NAME_BYTES = 255;

/** Interval between the syncs of a growing backup. */
const SYNC_INTERVAL_MS = 20;

/**
 * Copies the SQLite database at `from`, which a service may be writing to, to the new file `to`.
 * The file appears only when it is complete, as a snapshot of one moment after the call. Never
 * overwrites a file. Returns the last order in the copy. Throws `DatabaseUnusable`. Blocks the
 * event loop.
 */
export function backupDatabase(from: string, to: string): LastOrder | undefined {
  const work = checkpointedBackup(from, to);
  for (;;) {
    const next = work.next();
    if (next.done) return next.value;
  }
}

/** Works like `backupDatabase`, with checkpoints. */
export function* checkpointedBackup(
  from: string,
  to: string,
  link: Link = linkSync,
): Checkpointed<LastOrder | undefined> {
  requireDatabase(from);
  const exists = `${to} already exists, and is never overwritten.`;
  const folder = dirname(to);
  if (!existsSync(folder)) throw new DatabaseUnusable(`There is no folder ${folder}.`);
  if (to.endsWith("/")) throw new DatabaseUnusable(`${to} is the name of a folder: name a file.`);
  if (isSideFile(to, from)) {
    throw new DatabaseUnusable(
      `${to} is reserved for a file of the database ${from}: choose another name.`,
    );
  }
  const part = partOf(to);
  requireShortName(to, part);
  try {
    removeAbandonedParts(folder, (name) => name === basename(to));
    if (existsSync(to)) throw new DatabaseUnusable(exists);
    removePart(part);
    // If the file can't be created, this error states the reason. SQLite's does not.
    closeSync(openSync(part, "wx", 0o600));
    try {
      copyDatabase(from, part);
      yield { name: "copied", canStop: true };
      const lastOrder = verifyOrThrow(part, `The copy of ${from}`);
      yield { name: "verified", canStop: true };
      sync(part);
      yield { name: "synced", canStop: true };
      yield* publish(part, to, link);
      yield { name: "linked", canStop: false };
      removePart(part);
      sync(folder);
      return lastOrder;
    } finally {
      removePart(part);
    }
  } catch (error) {
    if (error instanceof DatabaseUnusable) throw error;
    if (systemCode(error) === "EEXIST") throw new DatabaseUnusable(exists);
    throw new DatabaseUnusable(
      `${from} can't be backed up to ${to}: ${describeFileError(error)}.`,
      { cause: error },
    );
  }
}

/** Returns the path that this process writes a backup to until it is complete. */
export function partOf(to: string): string {
  return `${to}.${process.pid}.part`;
}

/**
 * Syncs a growing file to disk from another thread, until disposed. A single sync at the end would
 * delay the syncs of other processes by half a second.
 */
export async function syncInBackground(path: string) {
  const script = `
    const { openSync, fdatasyncSync, closeSync } = require("node:fs");
    setInterval(() => {
      try {
        const file = openSync(${JSON.stringify(path)}, "r");
        fdatasyncSync(file);
        closeSync(file);
      } catch {
        // The file does not exist yet, or was deleted.
      }
    }, ${SYNC_INTERVAL_MS});
    postMessage("ready");
  `;
  // Not a separate file, which the executable would have to embed.
  const url = URL.createObjectURL(new Blob([script], { type: "application/javascript" }));
  const worker = new Worker(url);
  await new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = reject;
  });
  return { [Symbol.dispose]: () => worker.terminate() };
}

function requireShortName(to: string, part: string) {
  const excess = Buffer.byteLength(`${basename(part)}-journal`) - MAX_NAME_BYTES;
  if (excess <= 0) return;
  const maxBytes = Buffer.byteLength(basename(to)) - excess;
  throw new DatabaseUnusable(
    `The name of ${to} is too long: choose one of at most ${maxBytes} bytes.`,
  );
}

/** Moves the part to its final name. Throws EEXIST if another process has created that file. */
function* publish(part: string, to: string, link: Link): Checkpointed<void> {
  try {
    // A rename would overwrite a file that another process has just created.
    return link(part, to);
  } catch (error) {
    if (systemCode(error) === "EEXIST") throw error;
    // exFAT and SMB do not support hard links. Any other error occurs again below.
  }
  closeSync(openSync(to, "wx", 0o600));
  try {
    writeFileSync(to, PLACEHOLDER);
    yield { name: "reserved", canStop: true };
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

/** Deletes the leftovers of interrupted backups whose file name satisfies `isOurs`. */
export function removeAbandonedParts(folder: string, isOurs: (name: string) => boolean): void {
  for (const part of readdirSync(folder)) {
    const [, name, pid] = /^(.+)\.(\d+)\.part(-journal)?$/.exec(part) ?? [];
    if (name === undefined || !isOurs(name) || isRunning(Number(pid))) continue;
    rmSync(join(folder, part), { force: true });
    removePlaceholder(join(folder, name));
  }
}

function removePlaceholder(file: string) {
  if (sizeOf(file) !== PLACEHOLDER.length) return;
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
    // EPERM: it runs, but as another user.
    return systemCode(error) === "EPERM";
  }
}
