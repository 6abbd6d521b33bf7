import { type SQL, sql } from "drizzle-orm";
import * as postgres from "drizzle-orm/pg-core";
import * as sqlite from "drizzle-orm/sqlite-core";
import { type Dialect, postgresDialect, sqliteDialect } from "./dialect.ts";

// What the tables are made of, once for each dialect. PostgreSQL's makers are the smaller surface, and the
// type of both.

const id = () => postgres.bigint({ mode: "number" }).primaryKey().generatedByDefaultAsIdentity();
const whole = () => postgres.bigint({ mode: "number" });

/** The makers of one dialect. */
export interface Columns {
  readonly dialect: Dialect;
  readonly table: typeof postgres.pgTable;
  /** The number of a row, never given twice. */
  readonly id: typeof id;
  /** A whole number up to 2^53 - 1: an amount, or an instant in ms. */
  readonly whole: typeof whole;
  readonly flag: typeof postgres.boolean;
  readonly text: typeof postgres.text;
  readonly check: typeof postgres.check;
  readonly index: typeof postgres.index;
  readonly uniqueIndex: typeof postgres.uniqueIndex;
  /** A text that begins with a plus and another digit than 0. */
  readonly beginsAsE164: (column: unknown) => SQL;
  /** Whether a column of flags needs a check that keeps other numbers out. */
  readonly flagsAreNumbers: boolean;
  /** Whether a step may be kept and its answer lost: what it has written must be found, and not written again. */
  readonly answersMayBeLost: boolean;
}

export const postgresColumns: Columns = {
  dialect: postgresDialect,
  table: postgres.pgTable,
  id,
  whole,
  flag: postgres.boolean,
  text: postgres.text,
  check: postgres.check,
  index: postgres.index,
  uniqueIndex: postgres.uniqueIndex,
  beginsAsE164: (column) => sql`${column} ~ '^[+][1-9]'`,
  flagsAreNumbers: false,
  answersMayBeLost: true,
};

const sqliteMakers = {
  dialect: sqliteDialect,
  table: sqlite.sqliteTable,
  id: () => sqlite.integer().primaryKey({ autoIncrement: true }),
  whole: () => sqlite.integer(),
  flag: () => sqlite.integer({ mode: "boolean" }),
  text: sqlite.text,
  check: sqlite.check,
  index: sqlite.index,
  uniqueIndex: sqlite.uniqueIndex,
  beginsAsE164: (column: unknown) => sql`${column} GLOB '+[1-9]*'`,
  flagsAreNumbers: true,
  answersMayBeLost: false,
};

// `as`: SQLite's makers take and make the same, as far as the tables and the queries use it.
export const sqliteColumns = sqliteMakers as unknown as Columns;
