import { SQL } from "bun";
import { drizzle } from "drizzle-orm/bun-sql";
import { withTimeout } from "../../lib/with-timeout.ts";
import { postgresDialect, tables } from "./schema.ts";
import { Unreachable } from "./errors.ts";
import type { Tx } from "../store.ts";

/** A server session that never reconnects: once it is closed, every query rejects. */
export interface Session extends Disposable {
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

/** Opens a connection. Rejects with `Unreachable`, after `timeoutMs` at the latest. */
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

async function createConnection(session: Session, statementTimeoutMs: number): Promise<Connection> {
  const { sql } = session;
  // Not as a startup parameter, which PgBouncer refuses.
  const [{ isReadOnly }] = await sql`
    SELECT set_config('statement_timeout', ${String(Math.round(statementTimeoutMs))}, false),
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
