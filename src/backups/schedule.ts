const NAME = /^nmservis-(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\d)Z\.db$/;

/** The name of the backup that is made now; the time in it is UTC. */
export function backupName(now: number): string {
  const [time = ""] = new Date(now).toISOString().split(".");
  return `nmservis-${time.replaceAll(":", "-")}Z.db`;
}

/** When the backup of this name was made, in ms; undefined where the file is another's. */
export function backupTime(name: string): number | undefined {
  const [, day, hours, minutes, seconds] = NAME.exec(name) ?? [];
  return day === undefined ? undefined : Date.parse(`${day}${hours}:${minutes}:${seconds}Z`);
}

/**
 * When the newest of these files was made, in ms; undefined where none of them is a backup. What a clock that
 * was wrong has named for the future is none: no other would be made until then.
 */
export function lastBackupAt(names: readonly string[], now: number): number | undefined {
  const times = names.map(backupTime).filter((time) => time !== undefined);
  const past = times.filter((time) => time <= now);
  return past.length === 0 ? undefined : Math.max(...past);
}

/**
 * Returns the backups to remove so that `keep` remain: first those dated in the future by a wrong clock, then
 * the oldest. `madeLast` always remains. Other files are ignored.
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
