import { SQL } from "bun";
import { DrizzleQueryError } from "drizzle-orm/errors";
import { Unavailable } from "../../errors.ts";
import { reasonOf } from "../../log.ts";
import { TimeoutExceeded } from "../../lib/with-timeout.ts";

/** The step may or may not have committed: its answer was lost. */
export class OutcomeUnknown extends Error {
  override readonly name = "OutcomeUnknown";
}

/** There was no connection to a server that can run the step; the cause says why. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";

  constructor(cause: unknown) {
    super("no server can be reached", { cause });
  }
}

/** What a step that has failed is refused with, and what it says of the connection. */
export interface StoreError {
  /**
   * `lost`: the connection failed, or the answer did not come in time. `unreachable`: there was no
   * connection, or only one to a server that refuses writes. `conflict`: another transaction was in the
   * way. `refused`: the step is at fault, or the server can't run it now. Only a lost step may have
   * committed.
   */
  readonly kind: "lost" | "unreachable" | "conflict" | "refused";
  readonly error: Error;
}

/** read_only_sql_transaction: after a failover a new connection may lead to the new primary. */
const READ_ONLY = "25006";

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
export function classifyError(thrown: unknown): StoreError {
  const error = thrown instanceof DrizzleQueryError ? thrown.cause : thrown;
  if (error instanceof Unreachable) {
    const { error: reason } = classifyError(error.cause);
    const isUnavailable = reason instanceof Unavailable;
    return { kind: "unreachable", error: isUnavailable ? reason : unavailable(reason) };
  }
  if (error instanceof TimeoutExceeded) return { kind: "lost", error: unavailable(error) };
  if (!(error instanceof SQL.PostgresError)) return { kind: "refused", error: asError(error) };
  const state = String(error.errno ?? "");
  const isOfServer = /^[0-9A-Z]{5}$/.test(state);
  const code = isOfServer ? state : error.code;
  const teller = isOfServer ? "PostgreSQL says" : "the connection to PostgreSQL has failed:";
  const plain = new Error(`${teller} ${code}: ${error.message}`);
  if (code === READ_ONLY) return { kind: "unreachable", error: unavailable(plain) };
  if (!isOfServer || LOST.test(code)) return { kind: "lost", error: unavailable(plain) };
  if (CONFLICT.test(code)) return { kind: "conflict", error: unavailable(plain) };
  return { kind: "refused", error: UNAVAILABLE.test(code) ? unavailable(plain) : plain };
}

/** Says in a few words what the driver has thrown, without values. */
export function reasonFor(thrown: unknown): string {
  const { error } = classifyError(thrown);
  const cause = error instanceof Unavailable ? error.cause : error;
  return cause instanceof Error ? cause.message : reasonOf(cause);
}

function unavailable(cause: Error): Unavailable {
  return new Unavailable("the data can't be reached", { cause });
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error("a step has thrown what is no error");
}
