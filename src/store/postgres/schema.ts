import { sql } from "drizzle-orm";
import * as postgres from "drizzle-orm/pg-core";
import { type Columns, type Dialect, createTables } from "../schema.ts";

export const postgresDialect: Dialect = {
  isShared: true,
  // As text first: the driver would encode a JSON parameter twice.
  jsonEach: (json) => sql`jsonb_array_elements(CAST(CAST(${json} AS text) AS jsonb))`,
  nextId: (table) => sql`nextval(${sql.raw(`'${table}_id_seq'`)})`,
  trueLiteral: sql`true`,
  skipLocked: sql`FOR UPDATE SKIP LOCKED`,
};

const integer = () => postgres.bigint({ mode: "number" });

const postgresColumns: Columns = {
  dialect: postgresDialect,
  table: postgres.pgTable,
  id: () => integer().primaryKey().generatedByDefaultAsIdentity(),
  integer,
  flag: postgres.boolean,
  text: postgres.text,
  check: postgres.check,
  index: postgres.index,
  uniqueIndex: postgres.uniqueIndex,
  beginsAsE164: (column) => sql`${column} ~ '^[+][1-9]'`,
  flagsAreNumbers: false,
};

export const tables = createTables(postgresColumns);

// drizzle-kit reads these.
export const { users, tariffs, orders, orderEvents, usedLinks } = tables;
