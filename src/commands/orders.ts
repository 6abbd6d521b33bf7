import { readSettings } from "../config.ts";
import { toOrderJson } from "../orders/order-json.ts";
import { latestOrders } from "../orders/order-queries.ts";
import { ORDER_STATUSES } from "../store/schema.ts";
import { type RunCommand, UsageError } from "./command.ts";
import { withReader } from "./database.ts";
import { formatTable } from "./terminal.ts";

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
