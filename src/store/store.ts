import { getTableColumns, type SQL, sql } from "drizzle-orm";
import type { BunSQLDatabase } from "drizzle-orm/bun-sql";
import type { Dialect } from "./dialect.ts";
import type { Tables } from "./schema.ts";

/**
 * What a step may do with the data: build and run queries on the tables of its engine, and nothing that ends
 * the step. The builders are PostgreSQL's, the smaller surface.
 */
export interface Tx extends Pick<BunSQLDatabase, "select" | "insert" | "update" | "delete"> {
  readonly tables: Tables;
  readonly sqlDialect: Dialect;
}

/** What a query may do that changes nothing. */
export type ReadTx = Pick<Tx, "select" | "tables" | "sqlDialect">;

/** Does something for several items by one statement, which costs a third of as many statements. */
export type BatchWork<Item, Result> = (
  tx: Tx,
  items: readonly Item[],
) => Promise<readonly Result[]>;

export interface StoreSizes {
  /** Steps that wait. */
  readonly waiting: number;
  readonly databaseBytes: number;
  /** Undefined where the write-ahead log is not ours to look after. */
  readonly walBytes: number | undefined;
}

/** The one way to the data; an engine is one implementation of this. */
export interface Store {
  /**
   * Whether the data is on a server: other processes may be at work on it, and a step whose answer was lost
   * runs again, though it may have been kept.
   */
  readonly isShared: boolean;
  /**
   * Runs `work` as one atomic step. When the promise resolves, all that the work has written is on
   * disk; when it rejects, nothing of it is. The work may run twice, so it changes nothing but data. It
   * awaits nothing but its `tx`: whatever it awaits holds up every other step. Rejects with
   * `Unavailable` when the data can't be written now, else with what the work threw.
   */
  run<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * Runs one query on what is committed, and waits for no step. Two queries may see two moments. Rejects
   * with `Unavailable` where the data is gone.
   */
  read<T>(query: (tx: ReadTx) => Promise<T>): Promise<T>;
  /**
   * Gathers the calls that come until the next step begins, does them by one call of `work`, and answers
   * each in its place. One that fails takes no other with it: where `work` fails for several, it runs
   * again for each alone. Each statement of `work` is whole alone, and may be kept where a later one fails.
   */
  batch<Item, Result>(work: BatchWork<Item, Result>): (item: Item) => Promise<Result>;
  /** How the data stands now. */
  measure(): Promise<StoreSizes>;
  /** Resolves when a write that changes nothing has reached the disk; rejects like `run`. */
  ping(): Promise<void>;
  /** Lets the steps in progress finish, rejects new ones and closes the data. */
  close(): Promise<void>;
}

/** What a database has, for one who only looks. */
export interface Reader extends Pick<Store, "read"> {
  close(): Promise<void>;
}

/**
 * The SELECT list of `insert(table).select(…)`, which goes by the order of the table's columns: one
 * expression for each column by its name, so that a missing or unknown one is a compile error.
 */
export function selectList<Table extends Tables[keyof Tables]>(
  table: Table,
  values: Record<keyof Table["_"]["columns"], SQL>,
): SQL {
  const names = Object.keys(getTableColumns(table));
  // `as`: the compiler has checked that each column is there.
  return sql.join(
    names.map((name) => values[name as keyof typeof values]),
    sql`, `,
  );
}

/** What the query builders have in common. */
interface Builder<Result> {
  prepare(name: string): { execute(values: Record<string, unknown>): Promise<Result> };
}

let lastQuery = 0;

/**
 * A query that is called with the values of its placeholders. It is built once for each connection:
 * building it costs ten times as much as running it.
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
