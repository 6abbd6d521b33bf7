import { type SQL, sql, type SQLWrapper } from "drizzle-orm";
import * as postgres from "drizzle-orm/pg-core";
import * as sqlite from "drizzle-orm/sqlite-core";

/** The differences between the engines that the query builders don't cover. */
export interface Dialect {
  /**
   * The database is on a server: other processes may work on it, and a commit's acknowledgement can be lost,
   * so inserts must be found by key, not repeated.
   */
  readonly isShared: boolean;
  /** The items of a JSON array as rows of one column, `value`. */
  readonly jsonEach: (json: SQLWrapper) => SQL;
  /** The id of the next row of a table. */
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
  // There is one transaction at a time.
  skipLocked: sql``,
};

export const postgresDialect: Dialect = {
  isShared: true,
  // As text first: the driver would encode a parameter of JSON once more.
  jsonEach: (json) => sql`jsonb_array_elements(CAST(CAST(${json} AS text) AS jsonb))`,
  nextId: (table) => sql`nextval(${sql.raw(`'${table}_id_seq'`)})`,
  set: sql`true`,
  skipLocked: sql`FOR UPDATE SKIP LOCKED`,
};

// What the tables are made of, once for each dialect. PostgreSQL's makers are the smaller surface, and the
// type of both.

const id = () => postgres.bigint({ mode: "number" }).primaryKey().generatedByDefaultAsIdentity();
const integer = () => postgres.bigint({ mode: "number" });

/** The makers of one dialect. */
export interface Columns {
  readonly dialect: Dialect;
  readonly table: typeof postgres.pgTable;
  /** The number of a row, never given twice. */
  readonly id: typeof id;
  /** An integer up to 2^53 - 1: an amount, or an instant in ms. */
  readonly integer: typeof integer;
  readonly flag: typeof postgres.boolean;
  readonly text: typeof postgres.text;
  readonly check: typeof postgres.check;
  readonly index: typeof postgres.index;
  readonly uniqueIndex: typeof postgres.uniqueIndex;
  /** A text that begins with a plus and another digit than 0. */
  readonly beginsAsE164: (column: unknown) => SQL;
  /** Whether a column of flags needs a check that keeps other numbers out. */
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

const sqliteMakers = {
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

// `as`: SQLite's makers take and make the same, as far as the tables and the queries use it.
export const sqliteColumns = sqliteMakers as unknown as Columns;
