import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { pause as realPause } from "../lib/pause.ts";
import type { Clock } from "../ports.ts";
import { removeAbandonedParts } from "../store/sqlite/backup.ts";
import { backupName, backupTime, lastBackupAt, expiredBackups } from "./schedule.ts";

const POLL_MS = 60_000;

/** Pause after a failed backup. */
const RETRY_MS = 3_600_000;

export interface BackupOptions {
  readonly folder: string;
  readonly everyMs: number;
  /** How many backups to keep. */
  readonly keep: number;
  /**
   * Makes a backup in a separate process, so that orders do not wait. Resolves to the error, if
   * any.
   */
  readonly makeBackup: (file: string) => Promise<string | undefined>;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: Clock;
  /** Waits for the next poll. Tests replace it. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/**
 * Makes a backup whenever one is due. After each success, deletes the oldest beyond `keep`. The due
 * time depends on the name of the newest backup, not on the process's uptime. Never rejects.
 * Resolves when the signal aborts.
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
        const failure = await backUp(options, name);
        if (failure !== undefined) throw new Error(failure);
        failedAt = undefined;
        metrics.countBackup("success");
        metrics.setLastBackup(backupTime(name) ?? 0);
        removeOldest(options, name);
      }
    } catch (error) {
      if (signal.aborted) return;
      metrics.countBackup("failure");
      log.error("The backup failed; it will be retried in an hour.", error);
      failedAt = now();
    }
    await pause(POLL_MS, signal);
  }
}

/**
 * Returns whether `ms` have passed since `at`, or `at` is in the future because the clock was set
 * back.
 */
function isPast(at: number | undefined, ms: number, now: number): boolean {
  return at === undefined || now < at || now >= at + ms;
}

async function backUp({ folder, makeBackup, log }: BackupOptions, name: string) {
  const file = join(folder, name);
  const failure = await makeBackup(file);
  if (failure === undefined) log.info(`Backed up to ${file}.`);
  return failure;
}

function removeOldest({ folder, keep, now }: BackupOptions, madeLast: string) {
  const names = expiredBackups(readdirSync(folder), keep, now(), madeLast);
  for (const name of names) rmSync(join(folder, name), { force: true });
}
