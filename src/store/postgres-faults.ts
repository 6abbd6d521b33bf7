import { SQL } from "bun";
import { DrizzleQueryError } from "drizzle-orm/errors";
import { Unavailable } from "../errors.ts";
import { TimeoutExceeded } from "../with-timeout.ts";

/** The server may have kept the step, and may not: nobody has heard. */
export class OutcomeUnknown extends Error {
  override readonly name = "OutcomeUnknown";
}

/** What a step that has failed is refused with, and what it says of the connection. */
export interface StoreFault {
  /**
   * `lost`: the connection is gone, and whether the step was kept is unknown. `unreachable`: the step has
   * not come to the server. `conflict`: another transaction stood in the way. `refused`: the step is at
   * fault, or the server can't now. Nothing is kept but of what is lost.
   */
  readonly kind: "lost" | "unreachable" | "conflict" | "refused";
  readonly error: Error;
}

/**
 * No connection could be made, or it is one to a server that only reads, as after a failover: the driver's
 * codes, and the server's. Another connection may do.
 */
const UNREACHABLE =
  /^(ERR_POSTGRES_CONNECTION_(REFUSED|TIMEOUT)|08001|08004|25006|28...|3D000|53300|57P03)$/;

/** Deadlock, and a conflict of transactions. */
const CONFLICT = /^(40P01|40001)$/;

/** The connection, or the server with it. */
const LOST = /^(08|57P0)/;

/** The server's resources, a time that is over, its disk. */
const UNAVAILABLE = /^(53|57|58)/;

/**
 * Reads what the driver has thrown. Only the code and the message of the server go on: its details and the
 * builders' error hold values, phone numbers among them.
 */
export function toStoreFault(thrown: unknown): StoreFault {
  const error = thrown instanceof DrizzleQueryError ? thrown.cause : thrown;
  if (error instanceof TimeoutExceeded) return { kind: "lost", error: unavailable(error) };
  if (!(error instanceof SQL.PostgresError)) return { kind: "refused", error: asError(error) };
  const state = String(error.errno ?? "");
  const isOfServer = /^[0-9A-Z]{5}$/.test(state);
  const code = isOfServer ? state : error.code;
  const teller = isOfServer ? "PostgreSQL says" : "the connection to PostgreSQL has failed:";
  const plain = new Error(`${teller} ${code}: ${error.message}`);
  if (UNREACHABLE.test(code)) return { kind: "unreachable", error: unavailable(plain) };
  if (!isOfServer || LOST.test(code)) return { kind: "lost", error: unavailable(plain) };
  if (CONFLICT.test(code)) return { kind: "conflict", error: unavailable(plain) };
  return { kind: "refused", error: UNAVAILABLE.test(code) ? unavailable(plain) : plain };
}

function unavailable(cause: Error): Unavailable {
  return new Unavailable("the data can't be reached", { cause });
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error("a step has thrown what is no error");
}
