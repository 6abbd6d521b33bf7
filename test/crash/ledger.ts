import { readFileSync } from "node:fs";

/** A line of the ledger: what the provider or the dispatcher has done. */
export type Entry =
  | { readonly kind: "paid" | "declined"; readonly paymentKey: string; readonly orderId: number }
  | { readonly kind: "notified"; readonly orderId: number };

/** All that has been done so far. */
export function readLedger(path: string): Entry[] {
  const lines = readFileSync(path, "utf8").split("\n");
  // `as`: nobody but the outside world writes to it.
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Entry);
}
