const NAME = /^nmservis-(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\d)Z\.db$/;

/** Returns the name of a backup made at `now`, with the time in UTC. */
export function backupName(now: number): string {
  const [time = ""] = new Date(now).toISOString().split(".");
  return `nmservis-${time.replaceAll(":", "-")}Z.db`;
}

/** Returns the time in a backup's name, in ms since 1970; undefined for any other name. */
export function backupTime(name: string): number | undefined {
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
