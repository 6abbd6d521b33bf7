import { SQL } from "bun";
import { drizzle } from "drizzle-orm/bun-sql";
import { postgresColumns } from "./columns.ts";
import { postgresDialect } from "./dialect.ts";
import { createTables } from "./schema.ts";
import type { Tx } from "./store.ts";

const CONNECT_TIMEOUT_S = 5;

const tables = createTables(postgresColumns);

/** One connection, on which one step runs at a time. */
export interface Lane {
  /** Queries outside a transaction, each whole alone; in `transact` inside one. */
  readonly tx: Tx;
  transact<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  readonly connection: SQL;
  /** Closes the connection, whatever goes on there. */
  end(): void;
}

/** A lane whose statements the server gives up after `statementTimeoutMs`. It connects when it is first used. */
export function createLane(url: string, statementTimeoutMs: number): Lane {
  const connection = connect(url, { statement_timeout: Math.round(statementTimeoutMs) });
  let current: Pick<SQL, "unsafe"> = connection;
  // One object for the lane's life: the library's own transaction would make one each time, and with it
  // every prepared query anew.
  const window = { unsafe: (text: string, values?: unknown[]) => current.unsafe(text, values) };
  // `as`: of a client the builders use `unsafe` alone.
  const builders = drizzle({ client: window as SQL, casing: "snake_case" });
  const tx: Tx = Object.assign(builders, { tables, sqlDialect: postgresDialect });
  return {
    tx,
    // Not with a BEGIN of our own: the driver would connect again in silence, and commit outside of it.
    transact: (work) =>
      connection.begin(async (transaction) => {
        current = transaction;
        try {
          return await work(tx);
        } finally {
          current = connection;
        }
      }),
    connection,
    end: () => void connection.close({ timeout: 0 }).catch(() => {}),
  };
}

/** One connection to the server, made when it is first used. */
export function connect(url: string, settings: Record<string, number> = {}): SQL {
  return new SQL({
    url,
    max: 1,
    connectionTimeout: CONNECT_TIMEOUT_S,
    connection: settings,
  });
}
