import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { pause as realPause } from "../lib/pause.ts";
import type { Clock } from "../ports.ts";
import { removeAbandonedParts } from "../store/sqlite/backup.ts";

const NAME = /^nmservis-(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\d)Z\.db$/;

const POLL_MS = 60_000;

/** Pause after a failed backup. */
const RETRY_MS = 3_600_000;

interface BackupOptions {
  readonly folder: string;
  readonly everyMs: number;
  /** How many backups to keep. */
  readonly keep: number;
  /** Makes a backup in a separate process, so that orders do not wait. */
  readonly makeBackup: (file: string) => Promise<void>;
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
  const { folder, everyMs, makeBackup, log, metrics, now, pause = realPause } = options;
  let failedAt: number | undefined;
  // Until the folder can be read: without a value, the alert about missing backups would not fire.
  metrics.setLastBackup(0);
  while (!signal.aborted) {
    if (isPast(failedAt, RETRY_MS, now())) failedAt = await backUpIfDue();
    await pause(POLL_MS, signal);
  }

  /** Returns the time of a failure. */
  async function backUpIfDue(): Promise<number | undefined> {
    try {
      mkdirSync(folder, { recursive: true });
      removeAbandonedParts(folder, (name) => backupTime(name) !== undefined);
      const last = lastBackupAt(readdirSync(folder), now());
      metrics.setLastBackup(last ?? 0);
      if (!isPast(last, everyMs, now())) return undefined;
      const name = backupName(now());
      const file = join(folder, name);
      await makeBackup(file);
      log.info(`Backed up to ${file}.`);
      metrics.countBackup("success");
      metrics.setLastBackup(backupTime(name) ?? 0);
      removeOldest(options, name);
      return undefined;
    } catch (error) {
      if (signal.aborted) return undefined;
      metrics.countBackup("failure");
      log.error("The backup failed; it will be retried in an hour.", error);
      return now();
    }
  }
}

/**
 * Returns whether `ms` have passed since `at`, or `at` is in the future because the clock was set
 * back.
 */
function isPast(at: number | undefined, ms: number, now: number): boolean {
  return at === undefined || now < at || now >= at + ms;
}

function removeOldest({ folder, keep, now }: BackupOptions, madeLast: string) {
  const names = expiredBackups(readdirSync(folder), keep, now(), madeLast);
  for (const name of names) rmSync(join(folder, name), { force: true });
}

/** Returns the name of a backup made at `now`, with the time in UTC. */
export function backupName(now: number): string {
  const [time = ""] = new Date(now).toISOString().split(".");
  return `nmservis-${time.replaceAll(":", "-")}Z.db`;
}

/** Returns the time in a backup's name, in ms since 1970; undefined for any other name. */
function backupTime(name: string): number | undefined {
  const [, day, hours, minutes, seconds] = NAME.exec(name) ?? [];
  return day === undefined ? undefined : Date.parse(`${day}${hours}:${minutes}:${seconds}Z`);
}

/**
 * Returns the time of the newest backup, in ms since 1970; undefined without backups. Ignores those
 * that a wrong clock has dated in the future: they would delay the next backup until then.
 */
export function lastBackupAt(names: readonly string[], now: number): number | undefined {
  const times = names.map(backupTime).filter((time) => time !== undefined);
  const past = times.filter((time) => time <= now);
  return past.length === 0 ? undefined : Math.max(...past);
}

/**
 * Returns the backups to delete so that `keep` remain: first those dated in the future by a wrong
 * clock, then the oldest. Never returns `madeLast`. Ignores other files.
 */
export function expiredBackups(
  names: readonly string[],
  keep: number,
  now: number,
  madeLast: string,
): string[] {
  const backups = names.filter((name) => backupTime(name) !== undefined);
  const others = backups.filter((name) => name !== madeLast).toSorted();
  const isAhead = (name: string) => (backupTime(name) ?? 0) > now;
  const inOrder = [...others.filter(isAhead), ...others.filter((name) => !isAhead(name))];
  return inOrder.slice(0, Math.max(0, backups.length - keep));
}
