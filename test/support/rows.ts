import { DatabaseUnusable } from "../../src/store/errors.ts";
import type { Tx } from "../../src/store/store.ts";

export const addUser = (phoneNumber: string) => (tx: Tx) =>
  tx.insert(tx.tables.users).values({ phoneNumber, createdAt: 0, smsTriedAt: 0 }).returning();

export const PENDING = {
  userId: 1,
  tariffCode: "standard_300",
  amountTiyin: 1,
  status: "pending" as const,
  paymentKey: "k",
  createdAt: 0,
  dueAt: 1,
  attempts: 0,
  repeatable: false,
};

/** Resolves to the error as a string, or "none". Unlike `rejects`, it does not block the event loop. */
export const refusal = (work: Promise<unknown>) => work.then(() => "none", String);

export const allUsers = (tx: Tx) => tx.select().from(tx.tables.users);

/** Resolves to the message of the `DatabaseUnusable` thrown by `work`, or "none". Rethrows others. */
export async function databaseRefusal(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof DatabaseUnusable) return error.message;
    throw error;
  }
  return "none";
}
