import { sql } from "drizzle-orm";
import * as sqlite from "drizzle-orm/sqlite-core";
import { type Columns, type Dialect, createTables } from "../schema.ts";

export const sqliteDialect: Dialect = {
  isShared: false,
  jsonEach: (json) => sql`json_each(${json})`,
  nextId: () => sql`NULL`,
  trueLiteral: sql`1`,
  // SQLite runs one writing transaction at a time.
  skipLocked: sql``,
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
const sqliteColumns = sqliteBuilders as unknown as Columns;

export const tables = createTables(sqliteColumns);

// drizzle-kit reads these.
export const { users, tariffs, orders, orderEvents, usedLinks } = tables;
