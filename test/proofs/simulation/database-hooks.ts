import { Database, type Statement } from "bun:sqlite";

/** Who is asked about the transactions of every database of this program; what throws fails them. */
export interface DatabaseHooks {
  /** The database is used for the first time. */
  opened(database: Database): void;
  begin(database: Database): void;
  /** Is to call `commit`, if the transaction is to be kept. */
  commit(database: Database, commit: () => void): void;
}

/** Puts the hooks before every BEGIN and COMMIT, until it is disposed of. */
export function hookDatabases({ opened, begin, commit }: DatabaseHooks): Disposable {
  const { prepare, run } = Database.prototype;
  const known = new WeakSet<Database>();

  function meet(database: Database) {
    if (known.has(database)) return;
    known.add(database);
    opened(database);
  }

  Object.assign(Database.prototype, {
    prepare(this: Database, ...query: unknown[]) {
      meet(this);
      const statement: Statement = Reflect.apply(prepare, this, query);
      const executeStatement = statement.run;
      const execute = () => void Reflect.apply(executeStatement, statement, []);
      if (query[0] === "COMMIT") {
        return Object.assign(statement, { run: () => commit(this, execute) });
      }
      if (query[0] === "BEGIN IMMEDIATE") {
        const beginAndExecute = () => {
          begin(this);
          execute();
        };
        return Object.assign(statement, { run: beginAndExecute });
      }
      return statement;
    },
    run(this: Database, ...query: unknown[]) {
      meet(this);
      return Reflect.apply(run, this, query);
    },
  });
  return { [Symbol.dispose]: () => void Object.assign(Database.prototype, { prepare, run }) };
}

/** What SQLite says of a full disk; nobody but SQLite can make it. */
export function diskFault(): unknown {
  using database = new Database(":memory:");
  database.run("PRAGMA max_page_count = 1");
  try {
    database.run("CREATE TABLE too_much (x)");
  } catch (fault) {
    return fault;
  }
  throw new Error("a full database has room");
}
