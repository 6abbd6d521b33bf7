import { Database } from "bun:sqlite";
import { execute } from "../../support/postgres.ts";

/** The harness's access to the database of a run. */
export interface RunDatabase {
  readonly url: string;
  execute(statements: string): Promise<void>;
  query(query: string): Promise<Readonly<Record<string, unknown>>[]>;
}

/** Returns access to a SQLite file, which need not exist yet. */
export function sqliteFile(path: string): RunDatabase {
  return {
    url: `file:${path}`,
    async execute(statements) {
      using database = new Database(path);
      database.run(statements);
    },
    async query(query) {
      using database = new Database(path, { readonly: true });
      return database.query<Record<string, unknown>, []>(query).all();
    },
  };
}

/** Returns access to a database on a PostgreSQL server. */
export function postgresDatabase(url: string): RunDatabase {
  return {
    url,
    execute: (statements) => execute(url, statements),
    query: (query) => execute(url, query),
  };
}
