import { readFileSync } from "node:fs";
import type { LastOrder } from "../store/sqlite/integrity.ts";
import { inSum } from "../lib/format.ts";
import type { Clock } from "../ports.ts";
import { DatabaseUnusable } from "../store/errors.ts";
import type { Checkpointed } from "../store/sqlite/backup.ts";

/** Describes an order by its id and time. */
export function describeLastOrder(order: LastOrder | undefined): string {
  if (order === undefined) return "it has no orders";
  return `its last order is ${order.id}, created ${new Date(order.createdAt).toISOString()}`;
}

/** Amounts are shown in sum. */
type Cell = string | number | { readonly tiyin: number };

function textOf(cell: Cell | undefined): string {
  return typeof cell === "object" ? inSum(cell.tiyin) : String(cell);
}

/** Formats rows under headings, in aligned columns. Numbers and amounts are right-aligned. */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly Cell[])[],
): string[] {
  const widths = headings.map((heading, at) =>
    Math.max(heading.length, ...rows.map((row) => textOf(row[at]).length)),
  );
  const line = (cells: readonly Cell[]) =>
    cells
      .map((cell, at) =>
        typeof cell === "string"
          ? cell.padEnd(widths[at] ?? 0)
          : textOf(cell).padStart(widths[at] ?? 0),
      )
      .join("  ")
      .trimEnd();
  return [line(headings), ...rows.map(line)];
}

const FIRST_PROGRESS_MS = 1000;
const PROGRESS_MS = 5000;

/**
 * Returns a function that prints progress on stderr, with rate and remaining time: after a second,
 * then every 5 s.
 */
export function createProgress(unit: string, elapsed: Clock) {
  // Set by the first call: preparations before it must not lower the rate.
  let startedAt: number | undefined;
  let nextAt = 0;
  return (done: number, total: number) => {
    const at = elapsed();
    if (startedAt === undefined) {
      startedAt = at;
      nextAt = at + FIRST_PROGRESS_MS;
    }
    if (at < nextAt) return;
    nextAt = at + PROGRESS_MS;
    const rate = done / ((at - startedAt) / 1000);
    const leftS = Math.ceil((total - done) / Math.max(rate, 1));
    const percent = Math.floor((done / total) * 100);
    const speed = `${Math.round(rate)}/s, ${leftS} s left`;
    process.stderr.write(`${percent} %, ${done} of ${total} ${unit}, ${speed}\n`);
  };
}

/**
 * Returns the signals that ask the process to stop. A closing terminal sends SIGHUP. `nohup` has the
 * process ignore it, and a handler would undo that.
 */
export function stopSignals(): NodeJS.Signals[] {
  return isHangupIgnored() ? ["SIGINT", "SIGTERM"] : ["SIGINT", "SIGTERM", "SIGHUP"];
}

function isHangupIgnored(): boolean {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    const [, lastDigit = "0"] = /^SigIgn:.*([0-9a-f])$/m.exec(status) ?? [];
    // SIGHUP is signal 1, the lowest bit.
    return Number.parseInt(lastDigit, 16) % 2 === 1;
  } catch {
    // Only Linux has this file.
    return false;
  }
}

/**
 * Runs the work. A signal interrupts it at its next checkpoint: the work cleans up, and the promise
 * rejects with `DatabaseUnusable`.
 */
export async function runUntilSignal<Result>(work: Checkpointed<Result>): Promise<Result> {
  let received: NodeJS.Signals | undefined;
  const onSignal = (signal: NodeJS.Signals) => (received ??= signal);
  const signals = stopSignals();
  for (const signal of signals) process.on(signal, onSignal);
  try {
    let next = work.next();
    while (!next.done) {
      // The event loop delivers signals, and the work blocks it.
      await new Promise((resolve) => setTimeout(resolve, 0));
      const { canStop } = next.value;
      next = received && canStop ? work.throw(interruption(received)) : work.next();
    }
    return next.value;
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}

function interruption(signal: NodeJS.Signals) {
  return new DatabaseUnusable(`Stopped by ${signal}; nothing was changed.`);
}
