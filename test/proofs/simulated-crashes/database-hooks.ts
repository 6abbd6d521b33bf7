import { Database, type Statement } from "bun:sqlite";

/** Callbacks around every transaction in this process. A callback that throws fails it. */
export interface DatabaseHooks {
  /** Called at the first use of a database. */
  opened(database: Database): void;
  begin(database: Database): void;
  /** Must call `commit` to commit the transaction. */
  commit(database: Database, commit: () => void): void;
}

/** Installs the hooks before every BEGIN and COMMIT until disposed of. */
export function hookDatabases({ opened, begin, commit }: DatabaseHooks): Disposable {
  const { prepare, run } = Database.prototype;
  const known = new WeakSet<Database>();

  function reportOpened(database: Database) {
    if (known.has(database)) return;
    known.add(database);
    opened(database);
  }

  Object.assign(Database.prototype, {
    prepare(this: Database, ...query: unknown[]) {
      reportOpened(this);
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
      reportOpened(this);
      return Reflect.apply(run, this, query);
    },
  });
  return { [Symbol.dispose]: () => void Object.assign(Database.prototype, { prepare, run }) };
}

/** Returns SQLite's error for a full disk, which only SQLite itself can construct. */
export function diskFault(): unknown {
  using database = new Database(":memory:");
  database.run("PRAGMA max_page_count = 1");
  try {
    database.run("CREATE TABLE too_much (x)");
  } catch (fault) {
    return fault;
  }
  throw new Error("max_page_count = 1 did not make SQLite fail");
}
