import { Database } from "bun:sqlite";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../../support/process.ts";
import { createRandom } from "../../support/random.ts";
import type { Tools } from "./tools.ts";

/** Disks write sectors atomically: a torn write mixes old and new sectors. */
const SECTOR_BYTES = 512;

/** Ways to break the service that the harness must detect. */
export type PowerSabotage = "synchronous off" | "a disk that drops syncs";

export interface PowerCutReport {
  readonly cuts: number;
  readonly acknowledged: number;
  readonly syncs: number;
  /** Promises broken after a cut; empty if the service works. */
  readonly violations: string[];
}

/** The number of variants that take turns if each cut tries only one. */
const ROTATION = 4;

type PowerTools = Tools & { readonly writeLog: string };

/**
 * Records the writes of `orders` orders, then simulates a power cut after every write, truncation
 * and sync. `variants` are ways of losing unsynced data: 0 loses all of it, 1 none, and others a
 * random half of the sectors. After each cut the database must be intact and contain every answered
 * order in the state that was answered. With a sabotage, stops at the first violation.
 */
export async function cutPowerEverywhere(
  tools: PowerTools,
  orders: number,
  variants: readonly number[],
  sabotage?: PowerSabotage,
): Promise<PowerCutReport> {
  using folder = temporaryFolder();
  const records = await recordWrites(tools, folder.path, orders, sabotage);
  const replay = createReplay(join(folder.path, "replayed.db"));
  const violations: string[] = [];
  let cuts = 0;
  for (const [at, record] of records.entries()) {
    if (sabotage !== undefined && violations.length > 0) break;
    replay.apply(record);
    // Of consecutive acknowledgements only the last needs a cut: no write lies between them.
    if (
      record.operation === Operation.acknowledge &&
      records[at + 1]?.operation === record.operation
    ) {
      continue;
    }
    // The short run rotates through the variants; the long run tries them all.
    for (const variant of variants.length > 1 ? variants : [at % ROTATION]) {
      cuts += 1;
      for (const violation of replay.cut(variant, at))
        violations.push(`cut ${at}, variant ${variant}: ${violation}`);
    }
  }
  const count = (operation: Operation) =>
    records.filter((record) => record.operation === operation).length;
  return {
    cuts,
    acknowledged: count(Operation.acknowledge),
    syncs: count(Operation.sync),
    violations,
  };
}

/** As in write-log.c. */
enum Operation {
  write = 1,
  truncate = 2,
  sync = 3,
  acknowledge = 4,
  remove = 5,
}

/** File kinds as in write-log.c, with the suffix of the file's path. */
const SUFFIXES = new Map([
  [1, ""],
  [2, "-wal"],
  [3, "-journal"],
]);

interface WriteRecord {
  readonly operation: Operation;
  /** The file kind; for an acknowledgement, the status. */
  readonly file: number;
  /** The offset of a write, the size of a truncation, the order id of an acknowledgement. */
  readonly offset: number;
  readonly data: Buffer;
}

async function recordWrites(
  { powerCutService, writeLog }: PowerTools,
  folder: string,
  orders: number,
  sabotage: PowerSabotage | undefined,
): Promise<WriteRecord[]> {
  const log = join(folder, "log");
  const databasePath = join(folder, "x.db");
  const service = Bun.spawnSync(
    [process.execPath, powerCutService, writeLog, databasePath, String(orders)],
    {
      env: {
        ...process.env,
        LD_PRELOAD: writeLog,
        WRITE_LOG: log,
        WRITE_LOG_OF: databasePath,
        ...(sabotage === "a disk that drops syncs" && { WRITE_LOG_DROP_SYNCS: "1" }),
        SABOTAGE: sabotage ?? "",
      },
    },
  );
  if (service.exitCode !== 0) throw new Error(service.stderr.toString());
  return parse(readFileSync(log));
}

function parse(log: Buffer): WriteRecord[] {
  const records: WriteRecord[] = [];
  for (let at = 0; at < log.length;) {
    const operation: Operation = log.readInt32LE(at);
    const length = Number(log.readBigInt64LE(at + 16));
    const data = log.subarray(at + 24, at + 24 + length);
    records.push({
      operation,
      file: log.readInt32LE(at + 4),
      offset: Number(log.readBigInt64LE(at + 8)),
      data,
    });
    at += 24 + length;
  }
  return records;
}

/** Simulates a disk: replays the records and checks the database after a power cut. */
function createReplay(path: string) {
  const synced = new Map<number, Buffer>();
  const unsynced = new Map<number, WriteRecord[]>();
  const promised = new Map<number, number>();

  function apply(record: WriteRecord) {
    const { operation, file, offset } = record;
    switch (operation) {
      case Operation.write:
      case Operation.truncate:
        if (unsynced.get(file)?.push(record) === undefined) unsynced.set(file, [record]);
        return;
      case Operation.sync:
        synced.set(
          file,
          image(file, () => true),
        );
        unsynced.delete(file);
        return;
      case Operation.remove:
        synced.delete(file);
        unsynced.delete(file);
        return;
      case Operation.acknowledge:
        promised.set(offset, file);
        return;
    }
  }

  /** Returns the file's content after a cut; `keeps` decides for each unsynced sector. */
  function image(file: number, keeps: () => boolean): Buffer {
    const before = synced.get(file) ?? Buffer.alloc(0);
    const changes = unsynced.get(file) ?? [];
    const ends = changes.map(({ offset, data }) => offset + data.length);
    const bytes = Buffer.alloc(Math.max(before.length, ...ends));
    before.copy(bytes);
    let length = before.length;
    for (const { operation, offset, data } of changes) {
      if (operation === Operation.truncate) {
        if (!keeps()) continue;
        bytes.fill(0, Math.min(length, offset));
        length = offset;
        continue;
      }
      for (let at = 0; at < data.length; at += SECTOR_BYTES) {
        if (!keeps()) continue;
        const sector = data.subarray(at, at + SECTOR_BYTES);
        sector.copy(bytes, offset + at);
        length = Math.max(length, offset + at + sector.length);
      }
    }
    return bytes.subarray(0, length);
  }

  function cut(variant: number, seed: number): string[] {
    const random = createRandom(seed * 31 + variant);
    const keeps = [() => false, () => true][variant] ?? (() => random() < 0.5);
    for (const [file, suffix] of SUFFIXES) {
      if (synced.has(file) || unsynced.has(file)) writeFileSync(path + suffix, image(file, keeps));
      else rmSync(path + suffix, { force: true });
    }
    rmSync(`${path}-shm`, { force: true });
    return inspect(path, promised);
  }

  return { apply, cut };
}

const STATUSES = new Map([
  [200, "paid"],
  [402, "declined"],
]);

function inspect(path: string, promised: ReadonlyMap<number, number>): string[] {
  try {
    using database = new Database(path);
    // Faster, and this copy is never cut again.
    database.run("PRAGMA synchronous = OFF");
    const check = database.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get();
    if (check?.integrity_check !== "ok") return [`corrupt: ${check?.integrity_check}`];
    if (promised.size === 0) return [];
    const rows = database
      .query<{ id: number; status: string }, []>("SELECT id, status FROM orders")
      .all();
    const found = new Map(rows.map(({ id, status }) => [id, status]));
    return Array.from(promised)
      .filter(([orderId, status]) => found.get(orderId) !== STATUSES.get(status))
      .map(([orderId, status]) => `order ${orderId}, answered ${status}, is ${found.get(orderId)}`);
  } catch (fault) {
    return [`unreadable: ${fault}`];
  }
}
