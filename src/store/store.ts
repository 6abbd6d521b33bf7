import { getTableColumns, type SQL, sql } from "drizzle-orm";
import type { BunSQLDatabase } from "drizzle-orm/bun-sql";
import type { Dialect, Tables } from "./schema.ts";

/**
 * Query builders and tables for use within a transaction; without commit and rollback. Typed as
 * PostgreSQL's builders, whose API is smaller.
 */
export interface Tx extends Pick<BunSQLDatabase, "select" | "insert" | "update" | "delete"> {
  readonly tables: Tables;
  readonly sqlDialect: Dialect;
}

/** The read-only part of `Tx`. */
export type ReadTx = Pick<Tx, "select" | "tables" | "sqlDialect">;

/**
 * Processes many items in one statement, at a third of the cost of one statement each. Returns one
 * result per item, in the same order.
 */
export type BatchWork<Item, Result> = (
  tx: Tx,
  items: readonly Item[],
) => Promise<readonly Result[]>;

interface StoreSizes {
  readonly queuedTransactions: number;
  readonly databaseBytes: number;
  /** Undefined if the server manages the write-ahead log. */
  readonly walBytes: number | undefined;
}

/** Access to the database; implemented once per engine. */
export interface Store {
  /**
   * Whether the database is on a server, which other processes may use too. A transaction then runs
   * again if its commit's acknowledgement is lost, although it may have committed.
   */
  readonly isShared: boolean;
  /**
   * Runs `work` in one transaction. Resolves once its writes are on disk. If it rejects, nothing
   * was written, except that after `OutcomeUnknown` (PostgreSQL) it may have been. Rejects with
   * `Unavailable` if the database can't be written now, otherwise with the error of `work`. `work`
   * may run more than once, so it must not have other effects. It must await only `tx`, because it
   * holds up all other transactions.
   */
  run<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * Runs one query on committed data; on SQLite it does not wait for transactions. Two queries may
   * see different states. Rejects with `Unavailable` if the database can't be read.
   */
  read<T>(query: (tx: ReadTx) => Promise<T>): Promise<T>;
  /**
   * Returns a function that collects items until the next transaction begins, and passes them to
   * one call of `work`. Each call resolves with its item's result. If `work` fails for several
   * items, it runs again for each item alone, so a failing item does not affect the others.
   * Statements are individually atomic: earlier ones may persist if a later one fails. If `canWait`
   * is true, items wait up to 5 ms for another transaction to join, if that saves a commit.
   */
  batch<Item, Result>(
    work: BatchWork<Item, Result>,
    canWait?: boolean,
  ): (item: Item) => Promise<Result>;
  measure(): Promise<StoreSizes>;
  /** Resolves once a write without effect has reached the disk. Rejects like `run`. */
  ping(): Promise<void>;
  /** Finishes running transactions, rejects new ones and closes the database. */
  close(): Promise<void>;
}

/** Read-only access to a database. */
export interface Reader extends Pick<Store, "read"> {
  close(): Promise<void>;
}

/**
 * Returns the SELECT list for `insert(table).select(…)`, which assigns by column order. Takes one
 * expression per column name, so a missing or unknown column is a compile error.
 */
export function selectList<Table extends Tables[keyof Tables]>(
  table: Table,
  values: Record<keyof Table["_"]["columns"], SQL>,
): SQL {
  const names = Object.keys(getTableColumns(table));
  // `as`: the type of `values` requires every column.
  return sql.join(
    names.map((name) => values[name as keyof typeof values]),
    sql`, `,
  );
}

/** A query builder, as far as `prepared` uses it. */
interface Builder<Result> {
  prepare(name: string): { execute(values: Record<string, unknown>): Promise<Result> };
}

let lastQuery = 0;

/**
 * Returns a query that takes the values of its placeholders. It is built once per connection,
 * because building it costs ten times as much as running it.
 */
export function prepared<Result, On extends ReadTx = Tx>(
  build: (tx: On, tables: Tables, dialect: Dialect) => Builder<Result>,
): (tx: On, values?: Record<string, unknown>) => Promise<Result> {
  const name = `query_${++lastQuery}`;
  const queries = new WeakMap<On, ReturnType<Builder<Result>["prepare"]>>();
  return (tx, values = {}) => {
    let query = queries.get(tx);
    if (query === undefined) {
      query = build(tx, tx.tables, tx.sqlDialect).prepare(name);
      queries.set(tx, query);
    }
    return query.execute(values);
  };
}
