import { readSettings } from "../config.ts";
import { toOrderJson } from "../orders/order-json.ts";
import { latestOrders } from "../orders/order-queries.ts";
import { type Order, ORDER_STATUSES } from "../store/schema.ts";
import type { Reader } from "../store/store.ts";
import { type RunCommand, UsageError } from "./command.ts";
import { withReader } from "./database.ts";
import { formatTable } from "./terminal.ts";

/** Orders per read: about 20 MB of memory. A million at once would take 2.7 GB. */
const PAGE = 10_000;

const HEADING_LINES = 1;

/** `nmservis orders`: shows the newest orders, without phone numbers. */
export const orders: RunCommand = async (context, { status, last, json }) => {
  const { environment, print, written } = context;
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
  await withReader(database, async (reader) => {
    let skipped = 0;
    for await (const page of pagesOf(reader, wanted, Number(last))) {
      const lines = json ? page.map(toJsonLine) : toTable(page).slice(skipped);
      lines.forEach(print);
      await written();
      skipped = HEADING_LINES;
    }
  });
};

/** Reads the newest `count` orders, newest first. The last page may be empty. */
async function* pagesOf(reader: Reader, status: Order["status"] | null, count: number) {
  let left = count;
  let before = Number.MAX_SAFE_INTEGER;
  for (;;) {
    const values = { status, before, limit: Math.min(left, PAGE) };
    const page = await reader.read((tx) => latestOrders(tx, values));
    yield page;
    const oldest = page.at(-1);
    left -= page.length;
    if (oldest === undefined || left === 0) return;
    before = oldest.id;
  }
}

function toJsonLine(order: Order): string {
  return JSON.stringify(toOrderJson(order));
}

function toTable(page: readonly Order[]): string[] {
  const cells = page
    .map(toOrderJson)
    .map((row) => [
      row.order_id,
      row.status,
      row.user_id,
      row.tariff_code,
      { tiyin: row.amount_tiyin },
      row.created_at,
      row.settled_at ?? "",
    ]);
  const headings = ["order", "status", "user", "tariff", "sum", "created", "settled"];
  return formatTable(headings, cells);
}
