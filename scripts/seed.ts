import { version } from "../package.json";
import { createApp } from "../src/app.ts";
import { readConfig } from "../src/config.ts";
import { createLog } from "../src/log.ts";
import { createMetrics } from "../src/metrics.ts";
import { DatabaseUnusable } from "../src/store/errors.ts";
import { openSqliteStore } from "../src/store/sqlite/store.ts";

// Fills the configured database with two weeks of demo orders. Runs the service itself on a fast
// clock, with a provider and a dispatcher that sometimes fail. The result is always the same.

const USERS = 60;
/** Includes repeats of orders in doubt. */
const ORDERS = 400;

/** Spreads the orders over two weeks. */
const PAUSE_MS = (14 * 86_400_000) / ORDERS;

const NAMES = ["Aziza Karimova", "Bobur Aliyev", "Dilnoza Yusupova", "Жасур Рахимов", "Ольга Ким"];

const TARIFFS = [
  { code: "standard_300", title: "Standard", price_tiyin: 30_000 },
  { code: "cleaning", title: "Cleaning", price_tiyin: 15_000_000 },
  { code: "plumber", title: "Plumber", price_tiyin: 9_000_000 },
];

const config = readConfig(process.env);
if (config.database.kind !== "sqlite") {
  console.error("seed only fills SQLite databases, so that it can't fill a shared one by mistake.");
  process.exit(1);
}
const { path } = config.database;
const log = createLog({ level: "error", json: false, write: console.error, now: Date.now });

try {
  const count = await seed();
  console.log(`Filled ${path} with ${count} orders of ${USERS} users.`);
} catch (error) {
  if (!(error instanceof DatabaseUnusable)) throw error;
  console.error(error.message);
  process.exit(1);
}

async function seed(): Promise<number> {
  const store = openSqliteStore(path, log);
  const [order] = await store.read((tx) => tx.select().from(tx.tables.orders).limit(1));
  if (order !== undefined) {
    await store.close();
    throw new DatabaseUnusable(`The database ${path} already has orders.`);
  }

  let nowMs = Date.now() - ORDERS * PAUSE_MS;
  const { http, workers, idle } = createApp({
    store,
    config: { ...config, apiKeys: [], adminApiKeys: [], allowedHosts: null },
    sms: { sendCode: async () => {} },
    payment: {
      async charge({ orderId }) {
        if (orderId % 17 === 0) throw new Error("the provider is down");
        return orderId % 9 === 0 ? "declined" : "paid";
      },
    },
    dispatcher: {
      async notify({ orderId }) {
        if (orderId % 50 === 0) throw new Error("the dispatcher is unreachable");
      },
    },
    log,
    webhook: null,
    metrics: createMetrics(version, () => performance.now()),
    now: () => nowMs,
    randomId: () => crypto.randomUUID(),
  });

  async function send(method: string, path: string, body: object, key?: string) {
    const headers = { host: "localhost", "content-type": "application/json" };
    const request = new Request(`http://localhost${path}`, {
      method,
      headers: key === undefined ? headers : { ...headers, "idempotency-key": key },
      body: JSON.stringify(body),
    });
    const response = await http.handle(request);
    if (response.status >= 400 && response.status !== 402) throw new Error(await response.text());
  }

  for (const { code, ...tariff } of TARIFFS) await send("PUT", `/tariffs/${code}`, tariff);
  for (let user = 0; user < USERS; user++) {
    await send("POST", "/register", {
      phone_number: `+99890${1_000_000 + user * 7919}`,
      chat_id: 700_000_000 + user,
      full_name: NAMES[user % NAMES.length],
    });
  }
  for (let n = 0; n < ORDERS; n++) {
    nowMs += PAUSE_MS;
    const body = {
      user_id: 1 + ((n * 37) % USERS),
      tariff_code: TARIFFS[n % TARIFFS.length]?.code,
    };
    await send("POST", "/create_order", body, n % 3 === 0 ? undefined : `order-${n}`);
  }
  await workers.charge.runOnce();
  await idle();
  const rows = await store.read((tx) =>
    tx.select({ id: tx.tables.orders.id }).from(tx.tables.orders),
  );
  await store.close();
  return rows.length;
}
