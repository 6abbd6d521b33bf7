import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { pause as realPause } from "../lib/pause.ts";
import type { Clock } from "../ports.ts";
import { removeAbandonedParts } from "../store/sqlite/backup.ts";
import { backupName, backupTime, lastBackupAt, expiredBackups } from "./schedule.ts";

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
  /** Waits between two looks at the folder. Tests replace it. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/**
 * Makes a backup whenever one is due, which follows from the name of the newest and not from how long this
 * process runs, and removes the oldest after each success. Never rejects. Ends when the signal aborts.
 */
export async function runBackups(options: BackupOptions, signal: AbortSignal): Promise<void> {
  const { folder, everyMs, log, metrics, now, pause = realPause } = options;
  let failedAt: number | undefined;
  while (!signal.aborted) {
    try {
      mkdirSync(folder, { recursive: true });
      removeAbandonedParts(folder, (name) => backupTime(name) !== undefined);
      const last = lastBackupAt(readdirSync(folder), now());
      metrics.setLastBackup(last ?? 0);
      if (isPast(last, everyMs, now()) && isPast(failedAt, RETRY_MS, now())) {
        const name = backupName(now());
        const fault = await backUp(options, name);
        if (fault !== undefined) throw new Error(fault);
        failedAt = undefined;
        metrics.countBackup("success");
        metrics.setLastBackup(backupTime(name) ?? 0);
        removeOldest(options, name);
      }
    } catch (error) {
      if (signal.aborted) return;
      metrics.countBackup("failure");
      log.error("The backup has failed; it is tried again in an hour.", error);
      failedAt = now();
    }
    await pause(LOOK_MS, signal);
  }
}

/** Returns whether `ms` have passed since `at`. An `at` in the future counts: the clock was set back. */
function isPast(at: number | undefined, ms: number, now: number): boolean {
  return at === undefined || now < at || now >= at + ms;
}

async function backUp({ folder, makeBackup, log }: BackupOptions, name: string) {
  const file = join(folder, name);
  const fault = await makeBackup(file);
  if (fault === undefined) log.info(`Backed up to ${file}.`);
  return fault;
}

function removeOldest({ folder, keep, now }: BackupOptions, madeLast: string) {
  const names = expiredBackups(readdirSync(folder), keep, now(), madeLast);
  for (const name of names) rmSync(join(folder, name), { force: true });
}
