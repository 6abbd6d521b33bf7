import { Database } from "bun:sqlite";
import type { SQL } from "bun";
import type { Log } from "../log.ts";
import type { Clock } from "../ports.ts";
import { DatabaseUnusable } from "./errors.ts";
import { requireDatabase } from "./sqlite/database-files.ts";
import { verifyDatabase } from "./sqlite/integrity.ts";
import { reasonFor, classifyError, connect } from "./postgres/connection.ts";
import { MIGRATION_LOCK } from "./postgres/migrations.ts";
import { openPostgresStore } from "./postgres/store.ts";
import { openSqliteStore } from "./sqlite/store.ts";

/** Rows per read and write. */
const PAGE = 5000;

const CONNECT_TIMEOUT_MS = 5000;

/** Each table follows the tables that its foreign keys refer to. */
const TABLES = ["tariffs", "users", "orders", "order_events"] as const;
type Table = (typeof TABLES)[number];

/** Aggregates that must be equal on both sides after the copy. */
const TOTALS: Record<Table, string> = {
  tariffs: "count(*), coalesce(sum(price_tiyin), 0), coalesce(sum(length(title)), 0)",
  users:
    "count(*), coalesce(max(id), 0), coalesce(min(created_at), 0), coalesce(max(sms_tried_at), 0), coalesce(sum(length(phone_number)), 0), coalesce(sum(length(full_name)), 0), count(chat_id)",
  orders:
    "count(*), coalesce(max(id), 0), coalesce(min(created_at), 0), coalesce(max(settled_at), 0), coalesce(sum(amount_tiyin), 0), coalesce(sum(user_id), 0), count(idempotency_key), coalesce(sum(length(payment_key)), 0), count(CASE WHEN status = 'paid' THEN 1 END), count(settled_at), count(notified_at), count(due_at), coalesce(sum(attempts), 0), count(stage), count(refund), coalesce(sum(length(address)), 0), coalesce(sum(length(comment)), 0)",
  order_events:
    "count(*), coalesce(max(id), 0), coalesce(max(at), 0), coalesce(sum(order_id), 0), coalesce(sum(length(note)), 0)",
};

/** Receives the number of copied rows and the total. At the end, only the indexes remain. */
type OnProgress = (done: number, total: number) => void;

/** The numbers of moved rows; null if the target already had all of them. */
type Moved = Readonly<Record<"tariffs" | "users" | "orders", number>> | null;

/**
 * Copies the SQLite database at `from` into the empty PostgreSQL database at `to`, in one
 * transaction. Rejects with `DatabaseUnusable`, also if a service is using the SQLite database.
 */
export async function moveDatabase(
  from: string,
  to: string,
  dependencies: { readonly log: Log; readonly elapsed: Clock; readonly onProgress: OnProgress },
): Promise<Moved> {
  const { log, elapsed, onProgress } = dependencies;
  requireDatabase(from);
  if (verifyDatabase(from).isNew) {
    throw new DatabaseUnusable(`The database ${from} has no tables yet: there is nothing to move.`);
  }
  // Opening both stores takes the lock and applies missing migrations.
  const source = openSqliteStore(from, log, elapsed);
  try {
    await (await openPostgresStore(to, log, elapsed)).close();
    using database = new Database(from, { readonly: true });
    let isCommitting = false;
    try {
      using target = await connect(to, CONNECT_TIMEOUT_MS);
      return await target.sql.begin(async (tx) => {
        const moved = await copyAll(database, tx, onProgress);
        isCommitting = true;
        return moved;
      });
    } catch (error) {
      if (error instanceof DatabaseUnusable) throw error;
      const isUnknown = isCommitting && classifyError(error).kind === "lost";
      throw new DatabaseUnusable(
        isUnknown
          ? `PostgreSQL did not confirm the move (${reasonFor(error)}): run it again to see whether it succeeded.`
          : `Nothing was moved: ${reasonFor(error)}.`,
      );
    }
  } finally {
    await source.close();
  }
}

async function copyAll(database: Database, tx: SQL, onProgress: OnProgress): Promise<Moved> {
  await tx`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`;
  // A service that already runs on the target must wait, not write in between.
  await tx.unsafe(`LOCK TABLE ${TABLES.join(", ")}`);
  const source = await readTotals((query) => database.query(query).values());
  const readTarget = () => readTotals((query) => tx.unsafe(query).values());
  const count = (table: Table) => Number(source.get(table)?.[0]);
  const [{ isUsed }] = await tx`
    SELECT EXISTS (SELECT FROM users) OR EXISTS (SELECT FROM orders) AS "isUsed"`;
  if (isUsed) {
    if (Bun.deepEquals(source, await readTarget())) return null;
    throw new DatabaseUnusable(
      "The PostgreSQL database already has other users or orders: use an empty one.",
    );
  }
  await tx`DELETE FROM tariffs`;
  const restore = await dropIndexes(tx);
  const total = TABLES.reduce((sum, table) => sum + count(table), 0);
  let done = 0;
  for (const table of TABLES) {
    for await (const count of copyTable(database, tx, table)) {
      done += count;
      onProgress(done, total);
    }
  }
  await restore();
  await tx.unsafe(`ANALYZE ${TABLES.join(", ")}`);
  const sequences = database
    .query<{ name: string; seq: number }, []>(
      "SELECT name, seq FROM sqlite_sequence WHERE name IN ('users', 'orders', 'order_events')",
    )
    .all();
  for (const { name, seq } of sequences) await tx`SELECT setval(${`${name}_id_seq`}, ${seq})`;
  if (!Bun.deepEquals(source, await readTarget())) {
    throw new DatabaseUnusable("Nothing was moved: the totals of the two databases differ.");
  }
  return { tariffs: count("tariffs"), users: count("users"), orders: count("orders") };
}

/**
 * Drops indexes and foreign keys; the returned function recreates them. Building them once at the
 * end is cheaper than updating them per row. Other sessions never see the tables without them.
 */
async function dropIndexes(tx: SQL): Promise<() => Promise<void>> {
  const dropped: { drop: string; create: string }[] = await tx`
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS drop,
      format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
        pg_get_constraintdef(oid)) AS create
    FROM pg_constraint
    WHERE contype = 'f' AND connamespace = current_schema()::regnamespace
    UNION ALL
    SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
    FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
    WHERE relnamespace = current_schema()::regnamespace
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)`;
  for (const { drop } of dropped) await tx.unsafe(drop);
  return async () => {
    for (const { create } of dropped) await tx.unsafe(create);
  };
}

/**
 * Copies a table page by page, reading the next page while one is written. Yields the rows per
 * page.
 */
async function* copyTable(database: Database, tx: SQL, table: Table): AsyncGenerator<number> {
  const rows = database.query<object, [number]>(
    `SELECT rowid AS page_key, * FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ${PAGE}`,
  );
  let last = 0;
  let writing: Promise<unknown> = Promise.resolve();
  for (;;) {
    const page = rows.all(last);
    const text = JSON.stringify(page);
    await writing;
    if (page.length === 0) return;
    // `as`: the query selects this column.
    last = (page.at(-1) as { page_key: number }).page_key;
    writing = tx.unsafe(
      `INSERT INTO ${table} SELECT * FROM json_populate_recordset(NULL::${table}, CAST($1 AS text)::json)`,
      [text],
    );
    // The next iteration awaits this write and throws its error.
    writing.catch(() => {});
    yield page.length;
  }
}

/** Reads the totals of each table. `run` returns the rows of a query. */
async function readTotals(
  run: (query: string) => unknown[][] | Promise<unknown[][]>,
): Promise<ReadonlyMap<Table, readonly string[]>> {
  const totals = new Map<Table, readonly string[]>();
  for (const table of TABLES) {
    const [row = []] = await run(`SELECT ${TOTALS[table]} FROM ${table}`);
    totals.set(table, row.map(String));
  }
  return totals;
}
