import { SQL } from "bun";
import { drizzle } from "drizzle-orm/bun-sql";
import { DrizzleQueryError } from "drizzle-orm/errors";
import { Unavailable } from "../../errors.ts";
import { TimeoutExceeded, withTimeout } from "../../lib/with-timeout.ts";
import { reasonOf } from "../../log.ts";
import { LOOPBACK } from "../../settings.ts";
import type { Tx } from "../store.ts";
import { postgresDialect, tables } from "./schema.ts";

/** read_only_sql_transaction: after a failover, a new connection may reach the new primary. */
const READ_ONLY = "25006";

/** Deadlock and serialization failure. */
const CONFLICT = /^(40P01|40001)$/;

/** Connection failure, server shutdown, and a transaction that was idle for too long. */
const LOST = /^(08|57P0|25P0[34])/;

/**
 * Insufficient resources, a lock timeout, operator intervention (such as a statement timeout), and
 * system errors.
 */
const UNAVAILABLE = /^(53|55P03|57|58)/;

/** A server session that never reconnects: once it is closed, every query rejects. */
interface Session extends Disposable {
  readonly sql: SQL;
  isOpen(): boolean;
}

/** A connection that runs one transaction at a time. */
export interface Connection {
  /** Queries that commit one by one, or within the transaction of `transact`. */
  readonly tx: Tx;
  /** Whether the server refused writes when the connection was opened. */
  readonly isReadOnly: boolean;
  /**
   * Runs `work` in a transaction. Calls `beforeCommit` before it sends COMMIT; rolls back if that
   * throws.
   */
  transact<T>(work: (tx: Tx) => Promise<T>, beforeCommit: () => void): Promise<T>;
  readonly sql: SQL;
  isOpen(): boolean;
  /** Closes the connection at once. Running queries reject. */
  end(): void;
}

/**
 * Opens a connection. Rejects with `Unreachable`, after `timeoutMs` at the latest, or with an
 * `Error` if a password would be sent in clear text.
 */
export function connect(url: string, timeoutMs: number): Promise<Session> {
  return connectFor(url, timeoutMs, async (session) => session);
}

/** Opens a connection with a server-side `statementTimeoutMs`. Rejects like `connect`. */
export function openConnection(
  url: string,
  statementTimeoutMs: number,
  timeoutMs: number,
): Promise<Connection> {
  return connectFor(url, timeoutMs, (session) => createConnection(session, statementTimeoutMs));
}

async function connectFor<T>(
  url: string,
  timeoutMs: number,
  prepare: (session: Session) => Promise<T>,
): Promise<T> {
  checkTransport(url);
  let isOpen = true;
  let end = () => {};
  try {
    const pool = new SQL({
      url,
      max: 1,
      // Overrides the same parameter of the URL, and the settings of the role and the database.
      connection: { client_encoding: "UTF8" },
      onclose: () => void (isOpen = false),
    });
    end = () => {
      isOpen = false;
      pool.close({ timeout: 0 }).catch(() => {});
    };
    return await withTimeout(timeoutMs, async () => {
      // Reserved: the pool would silently replace a lost connection, even within a transaction.
      const sql = await pool.reserve();
      return await prepare({ sql, isOpen: () => isOpen, [Symbol.dispose]: end });
    });
  } catch (cause) {
    end();
    throw new Unreachable(cause);
  }
}

/** Throws if a password would be sent in clear text. */
function checkTransport(url: string): void {
  const { hostname, searchParams } = new URL(url);
  const mode = searchParams.get("sslmode");
  if (LOOPBACK.test(hostname) || mode === "require" || mode === "verify-full") return;
  throw new Error("a remote host needs sslmode=require or sslmode=verify-full");
}

async function createConnection(session: Session, statementTimeoutMs: number): Promise<Connection> {
  const { sql } = session;
  // Not as startup parameters, which PgBouncer refuses. In stricter levels, transactions that only
  // wait for each other would fail.
  const [{ isReadOnly }] = await sql`
    SELECT set_config('statement_timeout', ${String(Math.round(statementTimeoutMs))}, false),
      set_config('default_transaction_isolation', 'read committed', false),
      current_setting('transaction_read_only')::bool AS "isReadOnly"`;
  let current: Pick<SQL, "unsafe"> = sql;
  // One set of builders per connection: Drizzle's `transaction` creates new ones each time, and
  // would prepare every query again.
  const client = { unsafe: (text: string, values?: unknown[]) => current.unsafe(text, values) };
  // `as`: the builders only use the client's `unsafe`.
  const builders = drizzle({ client: client as SQL, casing: "snake_case" });
  const tx: Tx = Object.assign(builders, { tables, sqlDialect: postgresDialect });
  return {
    tx,
    isReadOnly,
    transact: (work, beforeCommit) =>
      sql.begin(async (transaction) => {
        current = transaction;
        try {
          const result = await work(tx);
          beforeCommit();
          return result;
        } finally {
          current = sql;
        }
      }),
    sql,
    isOpen: session.isOpen,
    end: session[Symbol.dispose],
  };
}

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
interface StoreError {
  /**
   * `lost`: the connection failed, or the answer was late. `unreachable`: there was no connection,
   * or only one to a read-only server. `conflict`: another transaction conflicts. `refused`: the
   * transaction is at fault, or the server can't run it now. Only after `lost` may the transaction
   * have committed.
   */
  readonly kind: "lost" | "unreachable" | "conflict" | "refused";
  readonly error: Error;
}

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
