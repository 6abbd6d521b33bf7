import { Database, SQLiteError } from "bun:sqlite";
import { existsSync } from "node:fs";
import type { Log } from "../../log.ts";
import { DatabaseUnusable, describeFileError } from "../errors.ts";
import { sizeOf } from "./file-system.ts";
import { assertOurs, isNew } from "./migrations.ts";
import { journalPath, walPath } from "./orphaned-wal.ts";

/**
 * Throws if this version can't or must not write to the database. Its only change is to roll back
 * an interrupted transaction.
 */
export function checkOnOpen(path: string, log: Log): void {
  rollBackJournal(path);
  if (sizeOf(path) === 0) return;
  const finding = findDamage(path, log);
  if (finding === "ok") return;
  throw new DatabaseUnusable(
    `The database ${path} is damaged (${finding}). Restore a backup with nmservis restore.`,
  );
}

/** Returns SQLite's first finding, or "ok". Throws if the database is not ours. */
function findDamage(path: string, log: Log): unknown {
  using database = new Database(path, { readonly: true, strict: true });
  try {
    assertOurs(database);
    const wasClosed = sizeOf(walPath(path)) === 0;
    if (wasClosed) return "ok";
    log.info(`The database ${path} was not closed properly; checking it.`);
    // integrity_check would look up every row in every index: 3 s for a million orders, not 0.9 s.
    const [finding] = database.query("PRAGMA quick_check(1)").values()[0] ?? [];
    if (finding !== "ok") {
      // SQLite may print a line with the database's name before the finding.
      return String(finding).split("\n").at(-1);
    }
    const stale = findStaleIndex(database);
    return stale === undefined ? "ok" : `rows and index ${stale} differ`;
  } catch (error) {
    if (error instanceof SQLiteError && error.code === "SQLITE_CORRUPT") return error.message;
    throw error;
  }
}

interface Index {
  readonly name: string;
  readonly tableName: string;
  readonly sql: string | null;
  /**
   * The sum of an entry's values. The first character stands for a text: more would take longer.
   */
  readonly entry: string;
}

const INDEXES = `
  SELECT name, tbl_name AS tableName, sql,
    (SELECT group_concat(
      iif(info.type = 'TEXT',
        format('coalesce(unicode("%w"), 0)', info.name),
        format('coalesce("%w", 0)', info.name)), ' + ')
      FROM pragma_index_info(schema.name) AS part
      JOIN pragma_table_info(schema.tbl_name) AS info ON info.cid = part.cid) AS entry
  FROM sqlite_schema AS schema WHERE type = 'index'`;

/**
 * Returns the first index whose entries are not those of its table, by count and by a checksum of
 * ids and values. `quick_check` does not compare them. They differ if the disk has lost synced
 * pages, or if an older copy of the file was put next to a newer write-ahead log.
 */
function findStaleIndex(database: Database): string | undefined {
  const indexes = database.query<Index, []>(INDEXES).all();
  for (const [tableName, ofTable] of Map.groupBy(indexes, (index) => index.tableName)) {
    // Remainders prevent an overflow.
    const totals = ofTable.map(({ sql, entry }) => {
      const filter = `FILTER (WHERE ${conditionOf(sql)})`;
      const checksum = `sum((rowid + ${entry}) % 1000003 * (rowid % 1009 + 1))`;
      return `count(*) ${filter}, ${checksum} ${filter}`;
    });
    const [rows = []] = database.query(`SELECT ${totals} FROM ${tableName} NOT INDEXED`).values();
    for (const [at, { name, sql }] of ofTable.entries()) {
      const entries = database.query(
        `SELECT ${totals[at]} FROM ${tableName} INDEXED BY ${name} WHERE ${conditionOf(sql)}`,
      );
      if (!Bun.deepEquals(entries.values()[0], rows.slice(2 * at, 2 * at + 2))) return name;
    }
  }
  return undefined;
}

/** Returns the condition of a partial index; `1` for any other. */
function conditionOf(createIndex: string | null): string {
  return /\sWHERE\s(.+)$/is.exec(createIndex ?? "")?.[1] ?? "1";
}

/**
 * Rolls back a transaction that was interrupted before WAL mode was on, such as the one that turns
 * it on. Until then, read-only connections fail with `SQLITE_READONLY_ROLLBACK`.
 */
export function rollBackJournal(path: string): void {
  if (!existsSync(journalPath(path))) return;
  using database = new Database(path, { readwrite: true });
  database.query("SELECT 1 FROM sqlite_master").get();
}

/** Maximum number of findings of an integrity check. */
const MAX_FINDINGS = 10;

/** SQLite error codes for a corrupt file, and for one that is not a database. */
const DAMAGE = /^SQLITE_(CORRUPT|NOTADB)/;

/** The newest order in a database. */
export interface LastOrder {
  readonly id: number;
  /** In ms since 1970. */
  readonly createdAt: number;
}

interface Verification {
  /** Whether the database has no tables yet, for example after an interrupted first start. */
  readonly isNew: boolean;
  /** Faults, one sentence each; empty if the database is intact. */
  readonly findings: readonly string[];
  readonly lastOrder: LastOrder | undefined;
}

/**
 * Reads every row of the SQLite database at `path`. Its only change is to roll back an interrupted
 * transaction. Throws `DatabaseUnusable` if another program or a newer version created the
 * database. `name` is the subject of the message.
 */
export function verifyDatabase(path: string, name = `The database ${path}`): Verification {
  try {
    rollBackJournal(path);
    using database = new Database(path, { readonly: true, strict: true });
    assertOurs(database);
    if (isNew(database)) return { isNew: true, findings: [], lastOrder: undefined };
    const damage = database.query(`PRAGMA integrity_check(${MAX_FINDINGS})`).values();
    const orphans = database.query("PRAGMA foreign_key_check").values();
    const findings = damage.map(([finding]) => String(finding)).filter((one) => one !== "ok");
    if (orphans.length > 0) findings.push(`${orphans.length} rows refer to missing rows`);
    const lastOrder = findings.length > 0 ? undefined : lastOrderOf(database);
    return { isNew: false, findings, lastOrder };
  } catch (error) {
    if (isDamage(error)) return { isNew: false, findings: [error.message], lastOrder: undefined };
    throw new DatabaseUnusable(`${name} can't be used: ${describeFileError(error)}.`, {
      cause: error,
    });
  }
}

/** Returns whether SQLite considers the file corrupt, or not a database. */
export function isDamage(error: unknown): error is SQLiteError {
  return error instanceof SQLiteError && DAMAGE.test(error.code ?? "");
}

/**
 * Returns the newest order. Throws `DatabaseUnusable` like `verifyDatabase`, and also if the
 * database has no tables or is damaged. `name` is the subject of the message.
 */
export function verifyOrThrow(path: string, name: string): LastOrder | undefined {
  const { isNew, findings, lastOrder } = verifyDatabase(path, name);
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
