import { type SQL, type SQLWrapper, sql } from "drizzle-orm";

/** What the two engines write differently in a query, beside what the builders write by themselves. */
export interface Dialect {
  /** The items of an array of JSON as rows of one column, `value`. */
  readonly rowsOf: (json: SQLWrapper) => SQL;
  /** The number of the next row of a table. */
  readonly nextId: (table: "users" | "orders") => SQL;
  /** The flag that is set. */
  readonly set: SQL;
  /** Passes over rows that another transaction is changing. */
  readonly skipLocked: SQL;
}

export const sqliteDialect: Dialect = {
  rowsOf: (json) => sql`json_each(${json})`,
  nextId: () => sql`NULL`,
  set: sql`1`,
  // There is one transaction at a time.
  skipLocked: sql``,
};

export const postgresDialect: Dialect = {
  // As text first: the driver would encode a parameter of JSON once more.
  rowsOf: (json) => sql`jsonb_array_elements(CAST(CAST(${json} AS text) AS jsonb))`,
  nextId: (table) => sql`nextval(${sql.raw(`'${table}_id_seq'`)})`,
  set: sql`true`,
  skipLocked: sql`FOR UPDATE SKIP LOCKED`,
};
