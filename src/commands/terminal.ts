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

/** An amount, shown in sum. */
export interface Amount {
  readonly tiyin: number;
}

type Cell = string | number | Amount;

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

/** Update intervals: for the bar on a terminal, and for lines elsewhere. */
const TERMINAL_MS = 200;
const LINES_MS = 5000;

const WIDTH = 30;

/**
 * Shows progress on stderr, with rate and remaining time: as a bar on a terminal, otherwise as
 * occasional lines. Prints nothing in the first second.
 */
export function createProgress(unit: string, elapsed: Clock) {
  const { isTTY } = process.stderr;
  const intervalMs = isTTY ? TERMINAL_MS : LINES_MS;
  // Set by the first `show`: preparations before it must not lower the rate.
  let startedAt: number | undefined;
  let printedAt = 0;
  let hasBar = false;
  return {
    show(done: number, total: number) {
      const at = elapsed();
      if (startedAt === undefined) {
        startedAt = at;
        printedAt = at + 1000 - intervalMs;
      }
      if (at - printedAt < intervalMs) return;
      printedAt = at;
      const rate = done / ((at - startedAt) / 1000);
      const leftS = Math.ceil((total - done) / Math.max(rate, 1));
      const percent = Math.floor((done / Math.max(total, 1)) * 100);
      const text = `${percent} %, ${done} of ${total} ${unit}, ${Math.round(rate)}/s, ${leftS} s left`;
      if (!isTTY) return void process.stderr.write(`${text}\n`);
      hasBar = true;
      const bar = "#".repeat(Math.floor((percent / 100) * WIDTH)).padEnd(WIDTH, ".");
      process.stderr.write(`\r[${bar}] ${text}\u001b[K`);
    },
    /** Removes the bar. If the work took over a second, prints `next`, the step that follows. */
    end(next?: string) {
      if (hasBar) process.stderr.write("\r\u001b[K");
      const isLong = startedAt !== undefined && elapsed() - startedAt > 1000;
      if (isLong && next !== undefined) process.stderr.write(`${next}\n`);
    },
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
    for (;;) {
      // The event loop delivers signals, and the work blocks it.
      await new Promise((resolve) => setTimeout(resolve, 0));
      const next = received === undefined ? work.next() : work.throw(interruption(received));
      if (next.done) return next.value;
    }
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}

function interruption(signal: NodeJS.Signals) {
  return new DatabaseUnusable(`Stopped by ${signal}; nothing was changed.`);
}
