import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import type { SQL } from "bun";
import { type DatabaseConfig, InvalidConfig, readConfig } from "../src/config.ts";
import { createLog, reasonOf } from "../src/log.ts";
import { DatabaseUnusable } from "../src/store/database-lock.ts";
import { connect, MIGRATION_LOCK, openPostgresStore } from "../src/store/postgres-store.ts";
import { openSqliteStore } from "../src/store/sqlite-store.ts";
import { createProgress } from "./progress.ts";

// Copies the database of SQLite that DATABASE_URL names, whose service is stopped, into an empty one of
// PostgreSQL: whole, or not at all.

const PAGE = 5000;

const USAGE = "Usage: bun run move --to postgres://user:password@host/database";

/** The order in which rows may refer to rows. */
const TABLES = ["tariffs", "users", "orders"] as const;
type Table = (typeof TABLES)[number];

/** What is the same on both sides once all is copied. */
const TOTALS: Record<Table, string> = {
  tariffs: "count(*), coalesce(sum(price_tiyin), 0), coalesce(sum(length(title)), 0)",
  users:
    "count(*), coalesce(max(id), 0), coalesce(sum(length(phone_number)), 0), coalesce(sum(length(full_name)), 0), count(chat_id)",
  orders:
    "count(*), coalesce(max(id), 0), coalesce(sum(amount_tiyin), 0), coalesce(sum(user_id), 0), count(idempotency_key), coalesce(sum(length(payment_key)), 0), count(CASE WHEN status = 'paid' THEN 1 END), count(settled_at), count(notified_at), count(due_at), coalesce(sum(attempts), 0)",
};

const log = createLog({ level: "warn", json: false, write: console.error, now: Date.now });

try {
  const { from, to } = readArguments();
  console.log(await move(from, to));
} catch (error) {
  if (!(error instanceof DatabaseUnusable) && !(error instanceof InvalidConfig)) throw error;
  console.error(`nmservis: ${error.message}`);
  process.exit(1);
}

function readArguments(): { from: string; to: string } {
  let values: { to?: string };
  try {
    ({ values } = parseArgs({ options: { to: { type: "string" } } }));
  } catch (error) {
    return refuseUsage(reasonOf(error));
  }
  if (values.to === undefined) return refuseUsage("--to is missing.");
  const source: DatabaseConfig = readConfig(process.env).database;
  const target = readConfig({ DATABASE_URL: values.to }).database;
  if (source.kind !== "sqlite") return refuseUsage("DATABASE_URL must name the SQLite database.");
  if (target.kind !== "postgres") return refuseUsage("--to must name a PostgreSQL database.");
  return { from: source.path, to: target.url };
}

function refuseUsage(why: string): never {
  console.error(`nmservis: ${why}\n${USAGE}`);
  process.exit(2);
}

async function move(from: string, to: string): Promise<string> {
  if (!existsSync(from)) throw new DatabaseUnusable(`There is no database ${from}.`);
  // Has the lock, and both are up to date.
  const source = openSqliteStore(from, log);
  try {
    await (await openPostgresStore(to, log, () => performance.now())).close();
    using database = new Database(from, { readonly: true });
    const target = connect(to);
    try {
      return await target.begin((tx) => copyAll(database, tx));
    } catch (error) {
      if (error instanceof DatabaseUnusable) throw error;
      throw new DatabaseUnusable(`Nothing was moved: ${reasonOf(error)}.`);
    } finally {
      await target.close({ timeout: 0 });
    }
  } finally {
    await source.close();
  }
}

async function copyAll(database: Database, tx: SQL): Promise<string> {
  await tx`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`;
  // A copy of the service that runs already waits, rather than write in between.
  await tx.unsafe(`LOCK TABLE ${TABLES.join(", ")}`);
  const source = totalsOf(database);
  const [{ isUsed }] = await tx`
    SELECT EXISTS (SELECT FROM users) OR EXISTS (SELECT FROM orders) AS "isUsed"`;
  if (isUsed) {
    if (isSame(source, await totalsIn(tx))) return "Moved already: both have the same rows.";
    throw new DatabaseUnusable("The PostgreSQL database has users or orders of its own.");
  }
  await tx`DELETE FROM tariffs`;
  const restore = await dropIndexes(tx);
  const total = TABLES.reduce((sum, table) => sum + Number(source[table][0]), 0);
  const progress = createProgress(total, "rows");
  let done = 0;
  for (const table of TABLES) {
    for await (const count of copyTable(database, tx, table)) {
      done += count;
      progress.show(done);
    }
  }
  progress.end("All rows are there; the indexes are made.");
  await restore();
  await tx.unsafe(`ANALYZE ${TABLES.join(", ")}`);
  const sequences = database
    .query<{ name: string; seq: number }, []>(
      "SELECT name, seq FROM sqlite_sequence WHERE name IN ('users', 'orders')",
    )
    .all();
  for (const { name, seq } of sequences) await tx`SELECT setval(${`${name}_id_seq`}, ${seq})`;
  if (!isSame(source, await totalsIn(tx))) {
    throw new DatabaseUnusable("Nothing was moved: the totals of both sides differ.");
  }
  return `Moved ${source.orders[0]} orders, ${source.users[0]} users and ${source.tariffs[0]} tariffs. Start the service with the new DATABASE_URL, and never again with the old one.`;
}

/**
 * Drops indexes and references, which cost more row by row than all at once in the end; what it resolves to
 * makes them anew. Nobody else sees the tables without them.
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

/** Copies a table in pages, the next of which is read while one is written; says how many rows each has. */
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
    // `as`: the query names it.
    last = (page.at(-1) as { page_key: number }).page_key;
    writing = tx.unsafe(
      `INSERT INTO ${table} SELECT * FROM json_populate_recordset(NULL::${table}, CAST($1 AS text)::json)`,
      [text],
    );
    // Where it fails, the next turn hears of it.
    writing.catch(() => {});
    yield page.length;
  }
}

type Totals = Record<Table, readonly string[]>;

function totalsOf(database: Database): Totals {
  const of = (table: Table) =>
    (database.query(`SELECT ${TOTALS[table]} FROM ${table}`).values()[0] ?? []).map(String);
  return { tariffs: of("tariffs"), users: of("users"), orders: of("orders") };
}

async function totalsIn(tx: SQL): Promise<Totals> {
  const of = async (table: Table) => {
    const [row] = await tx.unsafe(`SELECT ${TOTALS[table]} FROM ${table}`).values();
    return row.map(String);
  };
  return { tariffs: await of("tariffs"), users: await of("users"), orders: await of("orders") };
}

function isSame(a: Totals, b: Totals): boolean {
  return Bun.deepEquals(a, b);
}
