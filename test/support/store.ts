import { Unavailable } from "../../src/errors.ts";
import { createLog } from "../../src/log.ts";
import { NO_COMMIT_METRICS } from "../../src/metrics.ts";
import { createBatch } from "../../src/store/batch.ts";
import { openPostgresStore } from "../../src/store/postgres/store.ts";
import { createGroupCommit } from "../../src/store/sqlite/group-commit.ts";
import { drizzleOn, openConnection, openSqliteStore } from "../../src/store/sqlite/store.ts";
import type { Store } from "../../src/store/store.ts";
import { createDatabase, execute } from "./postgres.ts";

const log = createLog({ level: "error", json: false, write: () => {}, now: () => 0 });

/** Opens the real SQLite store with a silent log; in memory unless it has a path. */
export function openStore(path?: string): Store {
  if (path === undefined) return openMemoryStore();
  return openSqliteStore(path, log, () => performance.now());
}

/** Opens a SQLite store in memory, which writes no files. */
export function openMemoryStore(metrics = NO_COMMIT_METRICS): Store {
  const database = openConnection(":memory:");
  const commits = createGroupCommit(database, drizzleOn(database), () => {}, metrics);
  const { run, later, ping, close, countQueued } = commits;
  return {
    isShared: false,
    run,
    // No other connection can see the data.
    read: run,
    batch: createBatch({ run, later, metrics }),
    measure: async () => ({ queuedTransactions: countQueued(), databaseBytes: 0, walBytes: 0 }),
    ping,
    async close() {
      await close();
      database.close();
    },
  };
}

/** The PostgreSQL server to run the behaviour tests on; undefined for SQLite. */
const server = process.env["TEST_POSTGRES"];

/** Reusable stores with reset databases: resetting is cheaper than connecting. */
const free: EngineStore[] = [];

/** Functions that release the stores opened by the current test. */
const releases = new Set<() => Promise<void>>();

interface EngineStore {
  readonly url: string;
  readonly store: Store;
}

/** Opens a store of the engine under test, on a database that only the current test uses. */
export function openTestStore(): Store {
  if (server === undefined) return openStore();
  const opening = Promise.resolve(free.pop() ?? openDatabase(server));
  const running = new Set<Promise<unknown>>();
  let isClosed = false;

  async function on<T>(use: (store: Store) => Promise<T>): Promise<T> {
    if (isClosed) throw new Unavailable("the store is closed");
    const call = opening.then(({ store }) => use(store));
    running.add(call);
    try {
      return await call;
    } finally {
      running.delete(call);
    }
  }

  releases.add(async () => {
    isClosed = true;
    await Promise.allSettled(running);
    const opened = await opening;
    await execute(opened.url, RESET);
    free.push(opened);
  });
  return {
    isShared: true,
    run: (work) => on((store) => store.run(work)),
    read: (query) => on((store) => store.read(query)),
    batch(work) {
      const batch = opening.then(({ store }) => store.batch(work));
      return (item) => on(async () => (await batch)(item));
    },
    measure: () => on((store) => store.measure()),
    ping: () => on((store) => store.ping()),
    close: async () => void (isClosed = true),
  };
}

async function openDatabase(server: string): Promise<EngineStore> {
  const url = await createDatabase(server);
  const store = await openPostgresStore(url, log, Date.now);
  await execute(url, "CREATE TABLE first_tariffs AS TABLE tariffs");
  return { url, store };
}

/** Resets a database, in a tenth of the time it takes to create one. */
const RESET = `DELETE FROM order_events; DELETE FROM orders; DELETE FROM users; DELETE FROM tariffs;
  DELETE FROM used_links;
  INSERT INTO tariffs TABLE first_tariffs;
  SELECT setval('orders_id_seq', 1, false), setval('users_id_seq', 1, false),
    setval('order_events_id_seq', 1, false)`;

/** Releases the stores that the last test has opened. */
export async function closeTestStores() {
  await Promise.all(Array.from(releases, (release) => release()));
  releases.clear();
}
