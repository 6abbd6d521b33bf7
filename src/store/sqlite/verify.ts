import { Database, SQLiteError } from "bun:sqlite";
import { DatabaseUnusable } from "./lock.ts";
import { describeFileFault } from "./file-errors.ts";
import { rollBackJournal } from "./check-on-open.ts";
import { checkHistory, isNew } from "./migrations.ts";

/** How many faults of a database are worth reading. */
const MAX_FINDINGS = 10;

/** SQLite's words for a file that is none of its own, or torn. */
const DAMAGE = /^SQLITE_(CORRUPT|NOTADB)/;

/** The last order of a database. */
export interface LastOrder {
  readonly id: number;
  /** In ms. */
  readonly createdAt: number;
}

/** What a database is worth. */
export interface Examination {
  /** Whether it has no tables yet, for example after an interrupted first start. */
  readonly isNew: boolean;
  /** What is wrong with it, a sentence each; none where it is whole. */
  readonly findings: readonly string[];
  readonly lastOrder: LastOrder | undefined;
}

/**
 * Reads every row of the SQLite database at `path`. Its only change is to roll back an interrupted
 * transaction. Throws `DatabaseUnusable` if another program or a newer version has made the database.
 */
export function examineDatabase(path: string): Examination {
  try {
    rollBackJournal(path);
    using database = new Database(path, { readonly: true, strict: true });
    checkHistory(database);
    if (isNew(database)) return { isNew: true, findings: [], lastOrder: undefined };
    const damage = database.query(`PRAGMA integrity_check(${MAX_FINDINGS})`).values();
    const orphans = database.query("PRAGMA foreign_key_check").values();
    const findings = damage.map(([finding]) => String(finding)).filter((one) => one !== "ok");
    if (orphans.length > 0) findings.push(`${orphans.length} rows refer to rows that are missing`);
    const lastOrder = findings.length > 0 ? undefined : lastOrderOf(database);
    return { isNew: false, findings, lastOrder };
  } catch (error) {
    if (isDamage(error)) return { isNew: false, findings: [error.message], lastOrder: undefined };
    throw new DatabaseUnusable(`The database ${path} can't be used: ${describeFileFault(error)}.`, {
      cause: error,
    });
  }
}

/** Whether SQLite says that the file is torn, or none of its own. */
export function isDamage(error: unknown): error is SQLiteError {
  return error instanceof SQLiteError && DAMAGE.test(error.code ?? "");
}

/**
 * Returns the last order. Throws `DatabaseUnusable` like `examineDatabase`, and also if the database has no
 * tables or is damaged. `name` is the subject of the message.
 */
export function requireWhole(path: string, name: string): LastOrder | undefined {
  const { isNew, findings, lastOrder } = examineDatabase(path);
  if (isNew) throw new DatabaseUnusable(`${name} has no tables: there is nothing in it.`);
  if (findings.length === 0) return lastOrder;
  throw new DatabaseUnusable(`${name} is damaged: ${findings[0]}.`);
}

function lastOrderOf(database: Database): LastOrder | undefined {
  const order = database.query<LastOrder, []>(
    "SELECT id, created_at AS createdAt FROM orders ORDER BY id DESC LIMIT 1",
  );
  return order.get() ?? undefined;
}
