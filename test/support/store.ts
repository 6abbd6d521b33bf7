import { Unavailable } from "../../src/errors.ts";
import { createLog } from "../../src/log.ts";
import { openPostgresStore } from "../../src/store/postgres/store.ts";
import { openSqliteStore } from "../../src/store/sqlite/store.ts";
import type { Store } from "../../src/store/store.ts";
import { createDatabase, execute } from "./postgres.ts";

const log = createLog({ level: "error", json: false, write: () => {}, now: () => 0 });

/** The real store, which says nothing; on a database in memory, unless a file is named. */
export function openStore(path = ":memory:") {
  return openSqliteStore(path, log);
}

/** A server of PostgreSQL to run the behaviour tests on, instead of SQLite. */
const server = process.env["TEST_POSTGRES"];

/** Stores that no test uses any more, their databases as good as new: connections cost more than queries. */
const free: EngineStore[] = [];

/** What ends the use of a store by the test that has opened it. */
const endings = new Set<() => Promise<void>>();

interface EngineStore {
  readonly url: string;
  readonly store: Store;
}

/** The store of the engine that is being tested, on a database of its own that ends with the test. */
export function openTestStore(): Store {
  if (server === undefined) return openStore();
  const opening = Promise.resolve(free.pop() ?? openDatabase(server));
  const running = new Set<Promise<unknown>>();
  let isOver = false;

  async function on<T>(use: (store: Store) => Promise<T>): Promise<T> {
    if (isOver) throw new Unavailable("the store is closed");
    const call = opening.then(({ store }) => use(store));
    running.add(call);
    try {
      return await call;
    } finally {
      running.delete(call);
    }
  }

  endings.add(async () => {
    isOver = true;
    await Promise.allSettled(running);
    const opened = await opening;
    await execute(opened.url, RENEW);
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
    close: async () => void (isOver = true),
  };
}

async function openDatabase(server: string): Promise<EngineStore> {
  const url = await createDatabase(server);
  const store = await openPostgresStore(url, log, Date.now);
  await execute(url, "CREATE TABLE first_tariffs AS TABLE tariffs");
  return { url, store };
}

/** Makes a database as good as new, at a tenth of what a new one costs. */
const RENEW = `DELETE FROM order_events; DELETE FROM orders; DELETE FROM users; DELETE FROM tariffs;
  INSERT INTO tariffs TABLE first_tariffs;
  SELECT setval('orders_id_seq', 1, false), setval('users_id_seq', 1, false),
    setval('order_events_id_seq', 1, false)`;

/** Takes from the test before what it has opened. */
export async function closeTestStores() {
  await Promise.all(Array.from(endings, (end) => end()));
  endings.clear();
}
