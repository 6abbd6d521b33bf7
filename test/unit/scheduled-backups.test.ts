import { expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { backupName, runBackups } from "../../src/commands/scheduled-backups.ts";
import { check } from "../../src/commands/check.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import { temporaryFolder } from "../support/process.ts";
import { addUser, PENDING } from "../support/rows.ts";
import { openStore } from "../support/store.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const NOW = Date.UTC(2026, 10, 25, 3, 4, 5);
const AHEAD = NOW + 400 * DAY_MS;
const KEEP = 3;

/**
 * Runs daily backups with the clock at each of these moments. Returns, for each moment, the backups
 * in the folder and the time of the last backup in the metrics.
 */
async function runBackupsAt(
  folder: string,
  moments: readonly number[],
  { fails = (_now: number): boolean => false, backupTakesMs = 0 } = {},
) {
  const results: { names: string[]; metric: number }[] = [];
  const remaining = [...moments];
  let clock = remaining.shift() ?? 0;
  const metrics = createMetrics("test", () => 0);
  const ending = new AbortController();
  await runBackups(
    {
      folder,
      everyMs: DAY_MS,
      keep: KEEP,
      log: createLog({ level: "error", json: false, write: () => {}, now: () => clock }),
      metrics,
      now: () => clock,
      async makeBackup(file) {
        if (fails(clock)) throw new Error("no room");
        writeFileSync(file, "a backup");
        clock += backupTakesMs;
      },
      async pause() {
        results.push({
          names: readdirSync(folder).toSorted(),
          metric: lastBackupOf(metrics),
        });
        const next = remaining.shift();
        if (next === undefined) ending.abort();
        else clock = next;
      },
    },
    ending.signal,
  );
  return results;
}

/** Returns the time of the last backup in the metrics, in ms. */
function lastBackupOf(metrics: ReturnType<typeof createMetrics>): number {
  const text = metrics.render({ isWritable: true });
  const [, seconds] = /^nmservis_last_backup_timestamp_seconds (\S+)$/m.exec(text) ?? [];
  return Number(seconds) * 1000;
}

test("daily backups continue after a clock that was 400 days ahead is corrected", async () => {
  using folder = temporaryFolder();
  const ahead = [0, 1, 2].map((day) => AHEAD + day * DAY_MS);
  const corrected = [3, 4, 5, 6].map((day) => NOW + day * DAY_MS);
  const results = await runBackupsAt(folder.path, [...ahead, ...corrected]);
  const names = (...times: (number | undefined)[]) => times.map((time) => backupName(time ?? 0));
  const [a, b, c] = ahead;
  const [d, e, f, g] = corrected;
  expect(results.map((result) => result.names)).toEqual([
    names(a),
    names(a, b),
    names(a, b, c),
    names(d, b, c),
    names(d, e, c),
    names(d, e, f),
    names(e, f, g),
  ]);
  expect(results.map((result) => result.metric)).toEqual([...ahead, ...corrected]);
});

test("a new backup is kept if the clock is set back while it is being made", async () => {
  using folder = temporaryFolder();
  const old = [1, 2, 3].map((day) => backupName(NOW - day * DAY_MS));
  for (const name of old) writeFileSync(join(folder.path, name), "a backup");
  await runBackupsAt(folder.path, [NOW], { backupTakesMs: -HOUR_MS });
  const remaining = [...old.slice(0, KEEP - 1), backupName(NOW)];
  expect(readdirSync(folder.path).toSorted()).toEqual(remaining.toSorted());
});

test("a backup is made immediately after a clock that was behind is corrected", async () => {
  using folder = temporaryFolder();
  const results = await runBackupsAt(folder.path, [NOW, 0, NOW + HOUR_MS, NOW + DAY_MS]);
  expect(results.map(({ names }) => names.length)).toEqual([1, 2, 2, 3]);
  expect(results.map(({ metric }) => metric)).toEqual([NOW, 0, NOW, NOW + DAY_MS]);
});

test("a failed backup is retried after an hour, or when the clock is set back", async () => {
  using folder = temporaryFolder();
  const fails = (now: number) => now < NOW || now >= AHEAD;
  const moments = [AHEAD, AHEAD + HOUR_MS - 1, NOW - 1, NOW + HOUR_MS - 2, NOW + HOUR_MS];
  const results = await runBackupsAt(folder.path, moments, { fails });
  expect(results.map(({ names }) => names.length)).toEqual([0, 0, 0, 0, 1]);
});

test("a folder that can't be used is reported once an hour, and in the metrics as no backup", async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "file");
  writeFileSync(file, "");
  const lines: string[] = [];
  const metrics = createMetrics("test", () => 0);
  const ending = new AbortController();
  let minutes = 0;
  const now = () => NOW + minutes * MINUTE_MS;
  await runBackups(
    {
      ...{ folder: file, everyMs: DAY_MS, keep: KEEP, metrics, now },
      log: createLog({ level: "error", json: false, write: (line) => void lines.push(line), now }),
      makeBackup: async () => undefined,
      async pause() {
        minutes += 1;
        if (minutes === 90) ending.abort();
      },
    },
    ending.signal,
  );
  expect(lines.map((line) => line.split("\n")[0])).toEqual(
    Array(2).fill("Error: The backup failed; it will be retried in an hour."),
  );
  expect(await lastBackupOf(metrics)).toBe(0);
});

test("`check` ignores backups with a future date and shows no negative age", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const store = openStore(path);
  await store.run(addUser("+998901234567"));
  await store.run((tx) => tx.insert(tx.tables.orders).values({ ...PENDING, createdAt: AHEAD }));
  await store.close();
  const backups = join(folder.path, "backups");
  const lines: string[] = [];
  const run = () =>
    check(
      {
        environment: { DATABASE_URL: `file:${path}`, BACKUP_DIR: backups },
        print: (line) => void lines.push(line),
        written: async () => {},
        writeBytes: async (bytes) => bytes.length,
        isTerminal: false,
        now: () => NOW,
        elapsed: () => 0,
        fetch,
        randomId: () => "id",
        command: [],
      },
      {},
      [],
    );
  await run();
  expect(lines).toContain("Pending, being paid or in doubt: 1, the oldest for 0 minutes.");
  expect(lines.at(-1)).toBe(`Last backup in ${backups}: none.`);
  await runBackupsAt(backups, [AHEAD, NOW]);
  await run();
  expect(lines.at(-1)).toBe(`Last backup in ${backups}: 2026-11-25T03:04:05.000Z.`);
});
