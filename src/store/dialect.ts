import { type SQL, sql, type SQLWrapper } from "drizzle-orm";
import * as postgres from "drizzle-orm/pg-core";
import * as sqlite from "drizzle-orm/sqlite-core";

/** The differences between the engines that the query builders don't cover. */
export interface Dialect {
  /**
   * Whether the database is on a server: other processes may use it, and a commit's acknowledgement
   * can be lost. An insert with an unknown outcome must be looked up by key, not repeated.
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

export const sqliteDialect: Dialect = {
  isShared: false,
  jsonEach: (json) => sql`json_each(${json})`,
  nextId: () => sql`NULL`,
  set: sql`1`,
  // SQLite runs one writing transaction at a time.
  skipLocked: sql``,
};

export const postgresDialect: Dialect = {
  isShared: true,
  // As text first: the driver would encode a JSON parameter twice.
  jsonEach: (json) => sql`jsonb_array_elements(CAST(CAST(${json} AS text) AS jsonb))`,
  nextId: (table) => sql`nextval(${sql.raw(`'${table}_id_seq'`)})`,
  set: sql`true`,
  skipLocked: sql`FOR UPDATE SKIP LOCKED`,
};

// Column builders for each dialect, typed as PostgreSQL's, whose API is smaller.

const id = () => postgres.bigint({ mode: "number" }).primaryKey().generatedByDefaultAsIdentity();
const integer = () => postgres.bigint({ mode: "number" });

/** Table, column and index builders of one dialect. */
export interface Columns {
  readonly dialect: Dialect;
  readonly table: typeof postgres.pgTable;
  /** A generated primary key. Ids are never reused. */
  readonly id: typeof id;
  /** An integer up to 2^53 - 1: an id, an amount, or a time in ms. */
  readonly integer: typeof integer;
  readonly flag: typeof postgres.boolean;
  readonly text: typeof postgres.text;
  readonly check: typeof postgres.check;
  readonly index: typeof postgres.index;
  readonly uniqueIndex: typeof postgres.uniqueIndex;
  /** The condition that a text begins with `+` and a digit other than 0. */
  readonly beginsAsE164: (column: unknown) => SQL;
  /** Whether flags are stored as numbers, so that they need a check constraint. */
  readonly flagsAreNumbers: boolean;
}

export const postgresColumns: Columns = {
  dialect: postgresDialect,
  table: postgres.pgTable,
  id,
  integer,
  flag: postgres.boolean,
  text: postgres.text,
  check: postgres.check,
  index: postgres.index,
  uniqueIndex: postgres.uniqueIndex,
  beginsAsE164: (column) => sql`${column} ~ '^[+][1-9]'`,
  flagsAreNumbers: false,
};

const sqliteBuilders = {
  dialect: sqliteDialect,
  table: sqlite.sqliteTable,
  id: () => sqlite.integer().primaryKey({ autoIncrement: true }),
  integer: () => sqlite.integer(),
  flag: () => sqlite.integer({ mode: "boolean" }),
  text: sqlite.text,
  check: sqlite.check,
  index: sqlite.index,
  uniqueIndex: sqlite.uniqueIndex,
  beginsAsE164: (column: unknown) => sql`${column} GLOB '+[1-9]*'`,
  flagsAreNumbers: true,
};

// `as`: SQLite's builders are compatible as far as the tables and queries use them.
export const sqliteColumns = sqliteBuilders as unknown as Columns;
