import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { pause } from "../pause.ts";
import type { Clock } from "../ports.ts";
import { removeAbandonedParts } from "../store/backup-database.ts";
import { backupName, backupTime, lastBackupAt, superfluousBackups } from "./backup-schedule.ts";

/** How often to look whether a backup is due. */
const LOOK_MS = 60_000;

/** How long after one that has failed the next is tried. */
const RETRY_MS = 3_600_000;

export interface BackupOptions {
  readonly folder: string;
  readonly everyMs: number;
  /** So many stay. */
  readonly keep: number;
  /** Makes a backup in another process, where it holds up no order; resolves to what is wrong, if anything is. */
  readonly makeBackup: (file: string) => Promise<string | undefined>;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: Clock;
}

/**
 * Makes a backup whenever one is due, which follows from the name of the newest and not from how long this
 * process runs, and removes the oldest after each success. Never rejects. Ends when the signal aborts.
 */
export async function runBackups(options: BackupOptions, signal: AbortSignal): Promise<void> {
  const { everyMs, log, metrics, now } = options;
  let notBefore = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    try {
      const last = lastBackupAt(namesIn(options.folder), now());
      metrics.setLastBackup(last ?? 0);
      if (now() >= Math.max(notBefore, (last ?? Number.NEGATIVE_INFINITY) + everyMs)) {
        const fault = await backUp(options);
        if (fault !== undefined) throw new Error(fault);
        metrics.countBackup("success");
        metrics.setLastBackup(now());
        removeOldest(options);
      }
    } catch (error) {
      if (signal.aborted) return;
      metrics.countBackup("failure");
      log.error("The backup has failed; it is tried again in an hour.", error);
      notBefore = now() + RETRY_MS;
    }
    await pause(LOOK_MS, signal);
  }
}

async function backUp({ folder, makeBackup, log, now }: BackupOptions) {
  removeAbandonedParts(folder, (name) => backupTime(name) !== undefined);
  const file = join(folder, backupName(now()));
  const fault = await makeBackup(file);
  if (fault === undefined) log.info(`Backed up to ${file}.`);
  return fault;
}

function removeOldest({ folder, keep }: BackupOptions) {
  for (const name of superfluousBackups(namesIn(folder), keep)) rmSync(join(folder, name));
}

function namesIn(folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  return readdirSync(folder);
}
