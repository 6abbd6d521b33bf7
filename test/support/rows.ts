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

/** Why the step was refused. Not `rejects`, which holds up the event loop that the step waits for. */
export const refusal = (step: Promise<unknown>) => step.then(() => "none", String);

export const allUsers = (tx: Tx) => tx.select().from(tx.tables.users);

/** The sentence with which a database is refused; fails on any other error. */
export async function databaseRefusal(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof DatabaseUnusable) return error.message;
    throw error;
  }
  return "none";
}
