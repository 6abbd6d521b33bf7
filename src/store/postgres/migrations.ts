import type { SQL } from "bun";
import { checkApplied, checkCurrent, readMigrations } from "../migrations.ts";

const MIN_MAJOR = 14;

/** The advisory lock for migrations and for the `move` command. */
export const MIGRATION_LOCK = 6_770_401;

const migrations = readMigrations("postgres");

/**
 * The connection that runs each query of the check. A pooler that reuses its latest session gives
 * both connections the same one. A rotating pooler gives one connection two different sessions. The
 * later turns are for poolers that other clients use at the same time.
 */
const TURNS = [0, 0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1];

/**
 * Throws, with a reason for the owner, unless each connection keeps its own server session.
 * Otherwise prepared statements and settings would get lost, or reach the wrong client.
 */
export async function checkSessions(first: SQL, second: SQL): Promise<void> {
  const sessions: (string | undefined)[] = [];
  for (const turn of TURNS) {
    const connection = turn === 0 ? first : second;
    // No parameters, so no prepared statement. A pid alone may recur on a different server.
    const [{ session }] = await connection.unsafe(
      "SELECT concat_ws(' ', pg_backend_pid(), pg_postmaster_start_time()) AS session",
    );
    if (sessions[1 - turn] === session || (sessions[turn] ?? session) !== session) {
      throw new Error(
        "a pooler in transaction or statement mode sits in front of PostgreSQL; use session mode (PgBouncer: pool_mode = session) or connect directly",
      );
    }
    sessions[turn] = session;
  }
}

/** Throws, with a reason for the owner, if the service can't use the server or the database. */
export async function checkServer(sql: SQL): Promise<void> {
  const [{ version, encoding, commit }] = await sql`
    SELECT current_setting('server_version_num')::int AS version,
      current_setting('server_encoding') AS encoding,
      current_setting('synchronous_commit') AS commit`;
  if (version < MIN_MAJOR * 10_000) {
    const [major, minor] = [Math.floor(version / 10_000), version % 10_000];
    throw new Error(`PostgreSQL ${major}.${minor} is too old: use ${MIN_MAJOR} or later`);
  }
  if (encoding !== "UTF8") {
    throw new Error(
      `its encoding is ${encoding}, which can't store every name: create the database with ENCODING 'UTF8' TEMPLATE template0`,
    );
  }
  if (commit === "off") {
    throw new Error("its synchronous_commit is off, so confirmed orders could be lost: turn it on");
  }
}

/** Applies missing migrations. Simultaneous callers take turns. */
export async function migrate(sql: SQL): Promise<void> {
  // In stricter levels, the snapshot would be older than the lock.
  await sql.begin("ISOLATION LEVEL READ COMMITTED", async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`;
    const { known, hashes, hasTables } = await readApplied(tx);
    checkApplied(hashes, migrations, hasTables);
    if (!known) {
      await tx`CREATE TABLE nmservis_migrations (number int PRIMARY KEY, hash text NOT NULL)`;
    }
    for (const [number, migration] of migrations.entries()) {
      if (number < hashes.length) continue;
      for (const statement of migration.statements) await tx.unsafe(statement);
      await tx`INSERT INTO nmservis_migrations VALUES (${number}, ${migration.hash})`;
    }
  });
}

/**
 * Throws, with a reason for the owner, if the database does not have exactly this version's schema.
 */
export async function assertUpToDate(sql: SQL): Promise<void> {
  const { hashes, hasTables } = await readApplied(sql);
  checkCurrent(hashes, migrations, hasTables);
}

/** Reads the applied migrations. */
async function readApplied(sql: SQL) {
  const [{ known, count }] = await sql`
    SELECT to_regclass('nmservis_migrations') IS NOT NULL AS known,
      (SELECT count(*)::int FROM pg_tables WHERE schemaname = current_schema()) AS count`;
  const applied: { hash: string }[] = known
    ? await sql`SELECT hash FROM nmservis_migrations ORDER BY number`
    : [];
  return { known, hashes: applied.map(({ hash }) => hash), hasTables: count > 0 };
}
