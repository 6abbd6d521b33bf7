import type { LastOrder } from "../store/sqlite/verify.ts";

/** An order, by its number and its time. */
export function orderInWords(order: LastOrder | undefined): string {
  if (order === undefined) return "there is no order in it";
  return `its last order is ${order.id} of ${new Date(order.createdAt).toISOString()}`;
}
