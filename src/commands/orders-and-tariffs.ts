import { readSettings } from "../config.ts";
import { inSum } from "../lib/format.ts";
import { toOrderJson } from "../orders/order-json.ts";
import { latestOrders } from "../orders/order-queries.ts";
import { ORDER_STATUSES } from "../store/schema.ts";
import { allTariffs } from "../tariffs/tariff-queries.ts";
import { type RunCommand, UsageError } from "./command.ts";
import { withReader } from "./with-reader.ts";

/** `nmservis orders`: shows the newest orders, without phone numbers. */
export const orders: RunCommand = async ({ environment, print }, { status, last, json }) => {
  const wanted = ORDER_STATUSES.find((one) => one === status) ?? null;
  if (status !== undefined && wanted === null) {
    throw new UsageError(
      `orders: --status must be one of ${ORDER_STATUSES.join(", ")}, not "${status}"`,
    );
  }
  if (!/^[1-9]\d{0,8}$/.test(String(last))) {
    throw new UsageError(
      `orders: --last must be a whole number from 1 to 999999999, not "${last}"`,
    );
  }
  const { database } = readSettings(environment, ["database"]);
  const found = await withReader(database, (reader) =>
    reader.read((tx) => latestOrders(tx, { status: wanted, limit: Number(last) })),
  );
  const rows = found.map(toOrderJson);
  if (json) return rows.forEach((row) => print(JSON.stringify(row)));
  const cells = rows.map((row) => [
    row.order_id,
    row.status,
    row.user_id,
    row.tariff_code,
    { tiyin: row.amount_tiyin },
    row.created_at,
    row.settled_at ?? "",
  ]);
  const headings = ["order", "status", "user", "tariff", "sum", "created", "settled"];
  formatTable(headings, cells).forEach(print);
};

/** `nmservis tariffs`: shows all tariffs, including inactive ones. */
export const tariffs: RunCommand = async ({ environment, print }) => {
  const { database } = readSettings(environment, ["database"]);
  const rows = await withReader(database, (reader) => reader.read((tx) => allTariffs(tx)));
  const byCode = rows.toSorted((a, b) => (a.code < b.code ? -1 : 1));
  const cells = byCode.map(({ code, title, priceTiyin, active }) => [
    code,
    title,
    { tiyin: priceTiyin },
    active ? "yes" : "no",
  ]);
  formatTable(["code", "title", "sum", "can be ordered"], cells).forEach(print);
};

/** An amount, shown in sum. */
interface Amount {
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
