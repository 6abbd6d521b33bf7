import { Database } from "bun:sqlite";
import { SQL } from "bun";

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
    async execute(statements) {
      await using sql = new SQL({ url, max: 1 });
      await sql.unsafe(statements);
    },
    async query(query) {
      await using sql = new SQL({ url, max: 1 });
      return await sql.unsafe(query);
    },
  };
}
