import { SQL } from "bun";
import { drizzle } from "drizzle-orm/bun-sql";
import { withTimeout } from "../../lib/with-timeout.ts";
import { postgresColumns } from "../dialect.ts";
import { postgresDialect } from "../dialect.ts";
import { Unreachable } from "./errors.ts";
import { createTables } from "../schema.ts";
import type { Tx } from "../store.ts";

const tables = createTables(postgresColumns);

/** One session of the server. It never reconnects: once it is closed, every query on it rejects. */
export interface Session extends Disposable {
  readonly sql: SQL;
  isOpen(): boolean;
}

/** One connection, on which one step runs at a time. */
export interface Connection {
  /** Queries that commit one by one; in `transact` they are in its transaction. */
  readonly tx: Tx;
  /** Whether the server refused writes when the lane was opened. */
  readonly isReadOnly: boolean;
  /** Commits what `work` did. Calls `beforeCommit` before COMMIT is sent; if that throws, it is not sent. */
  transact<T>(work: (tx: Tx) => Promise<T>, beforeCommit: () => void): Promise<T>;
  readonly connection: SQL;
  isOpen(): boolean;
  /** Closes the connection at once. Running queries reject. */
  end(): void;
}

/** Opens a connection that is ready for queries. Rejects with `Unreachable`, after `timeoutMs` at the latest. */
export function connect(url: string, timeoutMs: number): Promise<Session> {
  return connectFor(url, timeoutMs, async (connection) => connection);
}

/** Opens a lane whose statements the server cancels after `statementTimeoutMs`. Rejects like `connect`. */
export function openConnection(
  url: string,
  statementTimeoutMs: number,
  timeoutMs: number,
): Promise<Connection> {
  return connectFor(url, timeoutMs, (connection) =>
    createConnection(connection, statementTimeoutMs),
  );
}

async function connectFor<T>(
  url: string,
  timeoutMs: number,
  prepare: (connection: Session) => Promise<T>,
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
      // The pool itself would replace a lost connection silently, in the middle of a step.
      const sql = await pool.reserve();
      return await prepare({ sql, isOpen: () => isOpen, [Symbol.dispose]: end });
    });
  } catch (cause) {
    end();
    throw new Unreachable(cause);
  }
}

async function createConnection(
  connection: Session,
  statementTimeoutMs: number,
): Promise<Connection> {
  const { sql } = connection;
  // Not as a startup parameter, which PgBouncer refuses.
  const [{ isReadOnly }] = await sql`
    SELECT set_config('statement_timeout', ${String(Math.round(statementTimeoutMs))}, false),
      current_setting('transaction_read_only')::bool AS "isReadOnly"`;
  let current: Pick<SQL, "unsafe"> = sql;
  // One object for the lane's life: the library's own transaction would make one each time, and with it
  // every prepared query anew.
  const window = { unsafe: (text: string, values?: unknown[]) => current.unsafe(text, values) };
  // `as`: of a client the builders use `unsafe` alone.
  const builders = drizzle({ client: window as SQL, casing: "snake_case" });
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
    connection: sql,
    isOpen: connection.isOpen,
    end: connection[Symbol.dispose],
  };
}
