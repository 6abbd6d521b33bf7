import { Database } from "bun:sqlite";
import { execute } from "../../support/postgres.ts";

/** The database of a run, as the harness looks at it. */
export interface RunDatabase {
  readonly url: string;
  execute(statements: string): Promise<void>;
  query(query: string): Promise<Readonly<Record<string, unknown>>[]>;
}

/** A file of SQLite, which need not be there yet. */
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

/** A database on a server of PostgreSQL. */
export function postgresDatabase(url: string): RunDatabase {
  return {
    url,
    execute: (statements) => execute(url, statements),
    query: (query) => execute(url, query),
  };
}
