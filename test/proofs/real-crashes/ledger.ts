import { readFileSync } from "node:fs";

/** A line of the ledger of calls to the payment provider and the dispatcher. */
export type Entry =
  /** A charge begins, or ends: it was answered or the caller disconnected. */
  | { readonly kind: "asked" | "ended"; readonly orderId: number; readonly call: number }
  /** The outside world has restarted: earlier calls have no caller left. */
  | { readonly kind: "begun" }
  | { readonly kind: "paid" | "declined"; readonly paymentKey: string; readonly orderId: number }
  | { readonly kind: "notified"; readonly orderId: number };

/** Returns a violation for each order with concurrent charges. */
export function findOverlaps(ledger: readonly Entry[]): string[] {
  const running = new Map<number, number>();
  const violations = new Set<string>();
  for (const entry of ledger) {
    if (entry.kind === "begun") running.clear();
    if (entry.kind === "ended" && running.get(entry.orderId) === entry.call) {
      running.delete(entry.orderId);
    }
    if (entry.kind !== "asked") continue;
    if (running.has(entry.orderId)) violations.add(`order ${entry.orderId} has concurrent charges`);
    running.set(entry.orderId, entry.call);
  }
  return Array.from(violations);
}

/** Returns all complete entries. */
export function readLedger(path: string): Entry[] {
  // Drops the text after the last newline: it is empty or an incomplete line.
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  // `as`: only outside-world.ts writes to it.
  return lines.map((line) => JSON.parse(line) as Entry);
}
