import { readFileSync } from "node:fs";

/** A line of the ledger: what the provider or the dispatcher has done, or has been asked. */
export type Entry =
  /** A call for an order's money begins, and ends: it is answered, or the caller is gone. */
  | { readonly kind: "asked" | "ended"; readonly orderId: number; readonly call: number }
  /** The outside world begins anew: nobody waits for it any more. */
  | { readonly kind: "begun" }
  | { readonly kind: "paid" | "declined"; readonly paymentKey: string; readonly orderId: number }
  | { readonly kind: "notified"; readonly orderId: number };

/** The orders for whose money two ask at the same time. */
export function findOverlaps(ledger: readonly Entry[]): string[] {
  const asking = new Map<number, number>();
  const wrongs = new Set<string>();
  for (const entry of ledger) {
    if (entry.kind === "begun") asking.clear();
    if (entry.kind === "ended" && asking.get(entry.orderId) === entry.call) {
      asking.delete(entry.orderId);
    }
    if (entry.kind !== "asked") continue;
    if (asking.has(entry.orderId)) wrongs.add(`two ask for the money of order ${entry.orderId}`);
    asking.set(entry.orderId, entry.call);
  }
  return Array.from(wrongs);
}

/** All that has been done so far. */
export function readLedger(path: string): Entry[] {
  // After the last newline there is nothing, or a line that is being written.
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  // `as`: nobody but the outside world writes to it.
  return lines.map((line) => JSON.parse(line) as Entry);
}
