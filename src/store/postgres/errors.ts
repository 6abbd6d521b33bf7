import { SQL } from "bun";
import { DrizzleQueryError } from "drizzle-orm/errors";
import { Unavailable } from "../../errors.ts";
import { reasonOf } from "../../log.ts";
import { TimeoutExceeded } from "../../lib/with-timeout.ts";

/** The transaction may or may not have committed: the server's answer was lost. */
export class OutcomeUnknown extends Error {
  override readonly name = "OutcomeUnknown";
}

/** No usable server could be reached; `cause` is the reason. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";

  constructor(cause: unknown) {
    super("no server can be reached", { cause });
  }
}

/** A classified error of a transaction or query. */
export interface StoreError {
  /**
   * `lost`: the connection failed, or the answer was late. `unreachable`: there was no connection,
   * or only one to a read-only server. `conflict`: another transaction conflicts. `refused`: the
   * transaction is at fault, or the server can't run it now. Only after `lost` may the transaction
   * have committed.
   */
  readonly kind: "lost" | "unreachable" | "conflict" | "refused";
  readonly error: Error;
}

/** read_only_sql_transaction: after a failover, a new connection may reach the new primary. */
const READ_ONLY = "25006";

/** Deadlock and serialization failure. */
const CONFLICT = /^(40P01|40001)$/;

/** Connection failure and server shutdown. */
const LOST = /^(08|57P0)/;

/** Insufficient resources, operator intervention (such as a statement timeout), system error. */
const UNAVAILABLE = /^(53|57|58)/;

/**
 * Classifies an error of the driver. Keeps only the server's code and message: its details and
 * Drizzle's error contain values, such as phone numbers.
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
  const isFromServer = /^[0-9A-Z]{5}$/.test(state);
  const code = isFromServer ? state : error.code;
  const prefix = isFromServer ? "PostgreSQL error" : "the connection to PostgreSQL failed:";
  const plain = new Error(`${prefix} ${code}: ${error.message}`);
  if (code === READ_ONLY) return { kind: "unreachable", error: unavailable(plain) };
  if (!isFromServer || LOST.test(code)) return { kind: "lost", error: unavailable(plain) };
  if (CONFLICT.test(code)) return { kind: "conflict", error: unavailable(plain) };
  return { kind: "refused", error: UNAVAILABLE.test(code) ? unavailable(plain) : plain };
}

/** Describes a driver error in a few words, without values. */
export function reasonFor(thrown: unknown): string {
  const { error } = classifyError(thrown);
  const cause = error instanceof Unavailable ? error.cause : error;
  return cause instanceof Error ? cause.message : reasonOf(cause);
}

function unavailable(cause: Error): Unavailable {
  return new Unavailable("the database is unavailable", { cause });
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error("a non-Error value was thrown");
}
