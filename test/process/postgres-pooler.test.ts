import { SQL } from "bun";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { createLog } from "../../src/log.ts";
import { moveDatabase } from "../../src/store/move.ts";
import { openPostgresReader, openPostgresStore } from "../../src/store/postgres/store.ts";
import type { Store } from "../../src/store/store.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { NO_PGBOUNCER, startPgBouncer } from "../support/pgbouncer.ts";
import {
  createDatabase,
  execute,
  type PostgresServer,
  startPostgres,
} from "../support/postgres.ts";
import { failToStart, runCommand, temporaryFolder } from "../support/process.ts";
import { addUser, refusal } from "../support/rows.ts";
import { createServiceOn } from "../support/service.ts";
import { skip } from "../support/skip.ts";
import { openStore } from "../support/store.ts";
import { createDependencies, createWorld } from "../support/world.ts";

// A connection pooler between the service and PostgreSQL must work in session mode.

setDefaultTimeout(BUSY_MACHINE_MS);

let server: PostgresServer | undefined;
let direct = "";
beforeAll(async () => {
  server = await startPostgres();
  if (server !== undefined) direct = await createDatabase(server.urlOf("postgres"));
});
afterAll(async () => server?.[Symbol.asyncDispose]());

const NO_POSTGRES = "PostgreSQL, which is not installed (Debian's postgresql)";

const log = createLog({ level: "error", json: false, write: () => {}, now: Date.now });
const elapsed = () => performance.now();

const POOLER = /a pooler in transaction or statement mode .* pool_mode = session/;

/** Starts a client that keeps querying the pool until the end of the block. */
function startOtherClient(url: string) {
  const client = new SQL({ url, max: 1, prepare: false });
  let isStopped = false;
  const running = (async () => {
    while (!isStopped) await client.unsafe("SELECT 1");
    await client.close();
  })();
  return {
    async [Symbol.asyncDispose]() {
      isStopped = true;
      await running;
    },
  };
}

describe("pooler in transaction or statement mode", () => {
  test.each([
    { pool_mode: "transaction" },
    { pool_mode: "statement" },
    { pool_mode: "transaction", default_pool_size: 1 },
    // Round robin: each transaction gets the least recently used session.
    ...[2, 3, 4].map((size) => ({
      pool_mode: "transaction",
      server_round_robin: 1,
      default_pool_size: size,
      min_pool_size: size,
    })),
  ])("is refused by the service, move and read-only commands: %j", async (settings) => {
    if (server === undefined) return skip(NO_POSTGRES);
    await using pool = await startPgBouncer(server, settings);
    if (pool === undefined) return skip(NO_PGBOUNCER);
    const url = pool.through(direct);
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    await openStore(path).close();
    const move = () => moveDatabase(path, url, { log, elapsed, onProgress: () => {} });
    for (const isBusy of [false, true]) {
      await using _others = isBusy ? startOtherClient(url) : undefined;
      expect(await refusal(openPostgresStore(url, log, elapsed))).toMatch(POOLER);
      expect(await refusal(openPostgresReader(url))).toMatch(POOLER);
      expect(await refusal(move())).toMatch(POOLER);
    }
  });

  test("stops each command with one message", async () => {
    if (server === undefined) return skip(NO_POSTGRES);
    await using pool = await startPgBouncer(server, { pool_mode: "transaction" });
    if (pool === undefined) return skip(NO_PGBOUNCER);
    const DATABASE_URL = pool.through(direct);
    const started = await failToStart({ DATABASE_URL, LOG_LEVEL: "error" });
    expect([started.status, started.printed]).toEqual([1, expect.stringMatching(POOLER)]);
    for (const command of ["orders", "check", "tariffs"]) {
      const { status, complaints } = await runCommand([command], { DATABASE_URL });
      expect([status, complaints]).toEqual([1, expect.stringMatching(POOLER)]);
    }
  });

  test("keeps its sessions' settings unchanged", async () => {
    if (server === undefined) return skip(NO_POSTGRES);
    const settings = { pool_mode: "transaction", default_pool_size: 1 };
    await using pool = await startPgBouncer(server, settings);
    if (pool === undefined) return skip(NO_PGBOUNCER);
    const url = pool.through(direct);
    await refusal(openPostgresStore(url, log, elapsed));
    const [row] = await execute(url, "SELECT current_setting('statement_timeout') AS value");
    expect(row.value).toBe("0");
  });
});

describe("pooler in session mode", () => {
  test("works for orders, and sessions keep their statement timeout after connections are cut", async () => {
    if (server === undefined) return skip(NO_POSTGRES);
    await using pool = await startPgBouncer(server, { pool_mode: "session" });
    if (pool === undefined) return skip(NO_PGBOUNCER);
    const url = await createDatabase(server.urlOf("postgres"));
    const far = pool.through(url);
    const store = await openPostgresStore(far, log, elapsed, undefined, BUSY_MACHINE_MS);
    try {
      const { order, userId } = createServiceOn({ ...createDependencies(createWorld()), store });
      const user = await userId();
      const key = (name: string) => ({ "idempotency-key": name });
      for (const round of ["before", "after"]) {
        const keys = Array.from({ length: 10 }, (_, n) => key(`${round}-${n}`));
        const answers = await Promise.all(keys.map((headers) => order(user, headers)));
        expect(answers.map(({ status }) => status)).toEqual(keys.map(() => 200));
        expect(await timeouts(store)).toEqual(["24s", "24s"]);
        await execute(
          url,
          "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
      }
    } finally {
      await store.close();
    }
  });

  test("works for move and read-only commands", async () => {
    if (server === undefined) return skip(NO_POSTGRES);
    await using pool = await startPgBouncer(server, { pool_mode: "session" });
    if (pool === undefined) return skip(NO_PGBOUNCER);
    const url = pool.through(await createDatabase(server.urlOf("postgres")));
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const source = openStore(path);
    await source.run(addUser("+998901234567"));
    await source.close();
    const moved = await moveDatabase(path, url, { log, elapsed, onProgress: () => {} });
    expect(moved).toMatchObject({ users: 1, tariffs: 1 });
    const reader = await openPostgresReader(url);
    expect(await reader.read((tx) => tx.select().from(tx.tables.users))).toHaveLength(1);
    await reader.close();
  });
});

/** Returns the statement timeouts of both of the store's connections. */
async function timeouts(store: Store): Promise<unknown[]> {
  const setting = sql<string>`current_setting('statement_timeout')`;
  const rows = await Promise.all(
    [1, 2].map(() => store.read((tx) => tx.select({ setting }).from(tx.tables.tariffs))),
  );
  return rows.flat().map((row) => row.setting);
}

test("names in any script are stored correctly if the URL and database set client_encoding=LATIN1", async () => {
  if (server === undefined) return skip(NO_POSTGRES);
  const url = await createDatabase(server.urlOf("postgres"));
  const name = new URL(url).pathname.slice(1);
  await execute(url, `ALTER DATABASE ${name} SET client_encoding = 'LATIN1'`);
  const store = await openPostgresStore(`${url}?client_encoding=LATIN1`, log, elapsed);
  try {
    const { register } = createServiceOn({ ...createDependencies(createWorld()), store });
    const full_name = "Ольга Oʻktam 李 ğ 😀";
    const { status } = await register("+998901234567", { full_name });
    expect(status).toBe(200);
    // Reads through a new connection: with the store's encoding, a garbled name could look right.
    expect([...(await execute(url, "SELECT full_name FROM users"))]).toEqual([{ full_name }]);
  } finally {
    await store.close();
  }
});
