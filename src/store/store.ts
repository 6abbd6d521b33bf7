import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";

/** What a step may do with the data: build and run queries, and nothing that ends the step. */
export type Tx = Pick<BunSQLiteDatabase, "select" | "insert" | "update" | "delete">;

/** What a query may do that changes nothing. */
export type ReadTx = Pick<Tx, "select">;

/** Does something for several items by one statement, which costs a third of as many statements. */
export type BatchWork<Item, Result> = (
  tx: Tx,
  items: readonly Item[],
) => Promise<readonly Result[]>;

/** The one way to the data; an engine is one implementation of this. */
export interface Store {
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
   * again for each alone.
   */
  batch<Item, Result>(work: BatchWork<Item, Result>): (item: Item) => Promise<Result>;
  /** Resolves when a write that changes nothing has reached the disk; rejects like `run`. */
  ping(): Promise<void>;
  /** Lets the steps in progress finish, rejects new ones and closes the data. */
  close(): Promise<void>;
}

/** What the query builders have in common. */
interface Builder<Result> {
  prepare(): { execute(values: Record<string, unknown>): Promise<Result> };
}

/**
 * A query that is called with the values of its placeholders. It is built once for each connection:
 * building it costs ten times as much as running it.
 */
export function prepared<Result, On extends ReadTx = Tx>(
  build: (tx: On) => Builder<Result>,
): (tx: On, values?: Record<string, unknown>) => Promise<Result> {
  const queries = new WeakMap<On, ReturnType<Builder<Result>["prepare"]>>();
  return (tx, values = {}) => {
    let query = queries.get(tx);
    if (query === undefined) {
      query = build(tx).prepare();
      queries.set(tx, query);
    }
    return query.execute(values);
  };
}
