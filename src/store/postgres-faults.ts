import { SQL } from "bun";
import { DrizzleQueryError } from "drizzle-orm/errors";
import { Unavailable } from "../errors.ts";
import { TimeoutExceeded } from "../with-timeout.ts";

/** What a step that has failed is refused with, and what it says of the connection. */
export interface StoreFault {
  /**
   * `lost`: the connection is gone, and whether the step was kept is unknown. `conflict`: another
   * transaction stood in the way. `refused`: the step is at fault, or the server can't now.
   */
  readonly kind: "lost" | "conflict" | "refused";
  readonly error: unknown;
}

/** Deadlock, and a conflict of transactions. */
const CONFLICT = /^(40P01|40001)$/;

/** The connection, the server's resources, the owner who stops it, its disk. */
const UNAVAILABLE = /^(08|53|57|58)/;

/** Of those: this connection is of no use any more. */
const LOST = /^(08|57P0)/;

/**
 * Reads what the driver has thrown. Only the code and the message of the server go on: its details and the
 * builders' error hold values, phone numbers among them.
 */
export function toStoreFault(thrown: unknown): StoreFault {
  const error = thrown instanceof DrizzleQueryError ? thrown.cause : thrown;
  if (error instanceof TimeoutExceeded) return lost(error);
  if (!(error instanceof SQL.PostgresError)) return { kind: "refused", error };
  const state = String(error.errno ?? "");
  const isOfServer = /^[0-9A-Z]{5}$/.test(state);
  const teller = isOfServer
    ? `PostgreSQL says ${state}`
    : `the connection to PostgreSQL has failed (${error.code})`;
  const plain = new Error(`${teller}: ${error.message}`);
  if (!isOfServer) return lost(plain);
  if (CONFLICT.test(state)) return { kind: "conflict", error: unavailable(plain) };
  if (LOST.test(state)) return lost(plain);
  return { kind: "refused", error: UNAVAILABLE.test(state) ? unavailable(plain) : plain };
}

function lost(cause: Error): StoreFault {
  return { kind: "lost", error: unavailable(cause) };
}

function unavailable(cause: Error): Unavailable {
  return new Unavailable("the data can't be reached", { cause });
}
