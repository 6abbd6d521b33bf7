import type { SQL } from "bun";
import { checkApplied, checkCurrent, readMigrations } from "../migrations.ts";

const MIN_MAJOR = 14;

/** The advisory lock under which a database is changed as a whole. */
export const MIGRATION_LOCK = 6_770_401;

const migrations = readMigrations("postgres");

/**
 * Which of two connections asks in each of these turns. A pooler that hands out its latest session gives both
 * the same one. One that rotates gives a connection that asks twice two of them. More turns are for pools
 * that other clients use at the same time.
 */
const TURNS = [0, 0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1];

/**
 * Throws, with a sentence for the owner, if the two connections do not keep one session of the server each:
 * then prepared statements and settings get lost, or reach the wrong client.
 */
export async function checkSessions(first: SQL, second: SQL): Promise<void> {
  const known: (string | undefined)[] = [];
  for (const turn of TURNS) {
    const asked = turn === 0 ? first : second;
    // Without parameters, and so without a prepared statement. A pid alone may repeat on another server.
    const [{ session }] = await asked.unsafe(
      "SELECT concat_ws(' ', pg_backend_pid(), pg_postmaster_start_time()) AS session",
    );
    if (known[1 - turn] === session || (known[turn] ?? session) !== session) {
      throw new Error(
        "a pooler in transaction or statement mode is in between: set its mode to session (PgBouncer: pool_mode = session), or connect to PostgreSQL directly",
      );
    }
    known[turn] = session;
  }
}

/** Throws, with a sentence for the owner, if the server or the database does not suit the service. */
export async function checkServer(sql: SQL): Promise<void> {
  const [{ version, encoding, commit }] = await sql`
    SELECT current_setting('server_version_num')::int AS version,
      current_setting('server_encoding') AS encoding,
      current_setting('synchronous_commit') AS commit`;
  if (version < MIN_MAJOR * 10_000) {
    const [major, minor] = [Math.floor(version / 10_000), version % 10_000];
    throw new Error(
      `PostgreSQL ${major}.${minor} is too old: ${MIN_MAJOR} is the oldest that will do`,
    );
  }
  if (encoding !== "UTF8") {
    throw new Error(
      `its encoding is ${encoding}, which can't store every name: create the database with ENCODING 'UTF8' TEMPLATE template0`,
    );
  }
  if (commit === "off") {
    throw new Error("its synchronous_commit is off: what is answered could be lost");
  }
}

/** Brings the database up to date; of several processes one after the other does. */
export async function migrate(sql: SQL): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`;
    const { known, hashes, hasTables } = await readApplied(tx);
    checkApplied(hashes, migrations, hasTables);
    if (!known) {
      await tx`CREATE TABLE nmservis_migrations (number int PRIMARY KEY, hash text NOT NULL)`;
    }
    for (const [number, migration] of migrations.entries()) {
      if (number < hashes.length) continue;
      for (const statement of migration.sql) await tx.unsafe(statement);
      await tx`INSERT INTO nmservis_migrations VALUES (${number}, ${migration.hash})`;
    }
  });
}

/** Throws, with a sentence for the owner, where another version than this has made the database. */
export async function assertUpToDate(sql: SQL): Promise<void> {
  const { hashes, hasTables } = await readApplied(sql);
  checkCurrent(hashes, migrations, hasTables);
}

/** The migrations that the database has. */
async function readApplied(sql: SQL) {
  const [{ known, count }] = await sql`
    SELECT to_regclass('nmservis_migrations') IS NOT NULL AS known,
      (SELECT count(*)::int FROM pg_tables WHERE schemaname = current_schema()) AS count`;
  const applied: { hash: string }[] = known
    ? await sql`SELECT hash FROM nmservis_migrations ORDER BY number`
    : [];
  return { known, hashes: applied.map(({ hash }) => hash), hasTables: count > 0 };
}
