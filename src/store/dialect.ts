import type { SQL, SQLWrapper } from "drizzle-orm";
import type * as postgres from "drizzle-orm/pg-core";

/** The differences between the engines that the query builders don't cover. */
export interface Dialect {
  /**
   * Whether the database is on a server: other processes may use it too, and a commit's
   * acknowledgement can be lost. An insert with an unknown outcome must be looked up by key, not
   * repeated.
   */
  readonly isShared: boolean;
  /** Expands a JSON array to rows with one column, `value`. */
  readonly jsonEach: (json: SQLWrapper) => SQL;
  /** The id of a table's next row. */
  readonly nextId: (table: "users" | "orders") => SQL;
  /** The boolean true. */
  readonly set: SQL;
  /** Skips rows that another transaction has locked. */
  readonly skipLocked: SQL;
}

// Typed as PostgreSQL's builders, whose API is smaller.

/** Table, column and index builders of one dialect. */
export interface Columns {
  readonly dialect: Dialect;
  readonly table: typeof postgres.pgTable;
  /** A generated primary key. Ids are never reused. */
  readonly id: () => IdBuilder;
  /** An integer up to 2^53 - 1: an id, an amount, or a time in ms. */
  readonly integer: () => IntegerBuilder;
  readonly flag: typeof postgres.boolean;
  readonly text: typeof postgres.text;
  readonly check: typeof postgres.check;
  readonly index: typeof postgres.index;
  readonly uniqueIndex: typeof postgres.uniqueIndex;
  /** The condition that a string begins with `+` and a digit other than 0. */
  readonly beginsAsE164: (column: unknown) => SQL;
  /** Whether flags are stored as numbers, so that they need a check constraint. */
  readonly flagsAreNumbers: boolean;
}

/** A builder of `integer` columns. */
type IntegerBuilder = ReturnType<typeof postgres.bigint<"number">>;

/** A builder of `id` columns. */
type IdBuilder = ReturnType<
  ReturnType<IntegerBuilder["primaryKey"]>["generatedByDefaultAsIdentity"]
>;
