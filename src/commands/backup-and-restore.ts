import { statSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { readSettings } from "../config.ts";
import type { DatabaseConfig } from "../settings.ts";
import { DatabaseUnusable } from "../store/errors.ts";
import {
  type Checkpointed,
  checkpointedBackup,
  partOf,
  syncInBackground,
} from "../store/sqlite/backup.ts";
import type { LastOrder } from "../store/sqlite/integrity.ts";
import { checkpointedRestore } from "../store/sqlite/restore.ts";
import type { RunCommand } from "./command.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** `nmservis backup FILE`: works while the service runs. */
export const backup: RunCommand = async ({ environment, print }, _options, [to = ""]) => {
  const { database } = readSettings(environment, ["database"]);
  const from = sqlitePathOf(database, "backed up", "pg_dump");
  yieldToOrders();
  using _syncing = await syncInBackground(partOf(to));
  const lastOrder = await runUntilSignal(checkpointedBackup(from, to));
  const mebibytes = (statSync(to).size / 1024 ** 2).toFixed(1);
  print(`Backed up to ${to}, ${mebibytes} MiB: ${describeLastOrder(lastOrder)}.`);
};

/** `nmservis restore FILE`: works only while the service is stopped. */
export const restore: RunCommand = async ({ environment, print, now }, _options, [from = ""]) => {
  const { database } = readSettings(environment, ["database"]);
  const path = sqlitePathOf(database, "restored", "pg_restore");
  const time = new Date(now()).toISOString().replaceAll(/[:.]/g, "-");
  const { restored, isRawCopy, old, isOldReadable, kept } = await runUntilSignal(
    checkpointedRestore(from, path, time),
  );
  print(`Restored ${from}: ${describeLastOrder(restored)}.`);
  if (isRawCopy) {
    print(
      `Warning: ${from} is a raw copy of a database file, not one made by nmservis backup. If it was copied while the service was running, its last orders may be missing: they were in the -wal file.`,
    );
  }
  if (kept === undefined) return;
  const before = isOldReadable ? describeLastOrder(old) : "its last order is unknown";
  print(`Before: ${before}. The old database is kept as ${kept}.`);
  if (old !== undefined && old.id > (restored?.id ?? 0)) {
    print(
      "Newer orders are lost, and so are their keys: repeating one would charge the customer again.",
    );
  }
};

/**
 * Returns the path of a SQLite database. Throws `DatabaseUnusable` for PostgreSQL; the message
 * names the `tool` to use instead.
 */
function sqlitePathOf(database: DatabaseConfig, done: string, tool: string): string {
  if (database.kind === "sqlite") return database.path;
  throw new DatabaseUnusable(`A PostgreSQL database can't be ${done} by nmservis: use ${tool}.`);
}

/** Lowers the priority: the p99 of orders while a million are backed up is 50 ms, not 60. */
function yieldToOrders(): void {
  try {
    setPriority(constants.priority.PRIORITY_LOW);
  } catch {
    // A sandbox may forbid it.
  }
}

/** Describes an order by its id and time. */
function describeLastOrder(order: LastOrder | undefined): string {
  if (order === undefined) return "it has no orders";
  return `its last order is ${order.id}, created ${new Date(order.createdAt).toISOString()}`;
}

/**
 * Runs the work. A signal interrupts it at its next checkpoint: the work cleans up, and the promise
 * rejects with `DatabaseUnusable`.
 */
export async function runUntilSignal<Result>(work: Checkpointed<Result>): Promise<Result> {
  let received: NodeJS.Signals | undefined;
  const onSignal = (signal: NodeJS.Signals) => (received ??= signal);
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    for (;;) {
      // The event loop delivers signals, and the work blocks it.
      await new Promise((resolve) => setTimeout(resolve, 0));
      const next = received === undefined ? work.next() : work.throw(interruption(received));
      if (next.done) return next.value;
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

function interruption(signal: NodeJS.Signals) {
  return new DatabaseUnusable(`Stopped by ${signal}; nothing was changed.`);
}
