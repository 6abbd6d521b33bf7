import { Database, SQLiteError } from "bun:sqlite";
import { DatabaseUnusable } from "./database-lock.ts";
import { checkHistory } from "./migrations.ts";

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
  /** What is wrong with it, a sentence each; none where it is whole. */
  readonly findings: readonly string[];
  readonly lastOrder: LastOrder | undefined;
}

/**
 * Reads every row of the SQLite database at `path`, and changes nothing. Throws `DatabaseUnusable` where
 * another program or another version has made it.
 */
export function examineDatabase(path: string): Examination {
  try {
    using database = new Database(path, { readonly: true, strict: true });
    checkHistory(database);
    if (isEmpty(database)) return { findings: ["there is nothing in it"], lastOrder: undefined };
    const damage = database.query(`PRAGMA integrity_check(${MAX_FINDINGS})`).values();
    const orphans = database.query("PRAGMA foreign_key_check").values();
    const findings = damage.map(([finding]) => String(finding)).filter((one) => one !== "ok");
    if (orphans.length > 0) findings.push(`${orphans.length} rows refer to rows that are missing`);
    return { findings, lastOrder: findings.length > 0 ? undefined : lastOrderOf(database) };
  } catch (error) {
    if (isDamage(error)) return { findings: [error.message], lastOrder: undefined };
    const reason = error instanceof Error ? error.message : String(error);
    throw new DatabaseUnusable(`The database ${path} can't be used: ${reason}.`, { cause: error });
  }
}

/** Whether SQLite says that the file is torn, or none of its own. */
export function isDamage(error: unknown): error is SQLiteError {
  return error instanceof SQLiteError && DAMAGE.test(error.code ?? "");
}

/** The same, but throws `DatabaseUnusable` also where anything is wrong. */
export function requireWhole(path: string): LastOrder | undefined {
  const { findings, lastOrder } = examineDatabase(path);
  if (findings.length === 0) return lastOrder;
  throw new DatabaseUnusable(`The database ${path} is damaged: ${findings[0]}.`);
}

function isEmpty(database: Database): boolean {
  return database.query("SELECT 1 FROM sqlite_master").get() === null;
}

function lastOrderOf(database: Database): LastOrder | undefined {
  const order = database.query<LastOrder, []>(
    "SELECT id, created_at AS createdAt FROM orders ORDER BY id DESC LIMIT 1",
  );
  return order.get() ?? undefined;
}
