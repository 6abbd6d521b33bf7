import { version } from "../package.json";
import { createApp } from "../src/app.ts";
import { readConfig } from "../src/config.ts";
import { createLog } from "../src/log.ts";
import { createMetrics } from "../src/metrics.ts";
import { DatabaseUnusable } from "../src/store/errors.ts";
import { openSqliteStore } from "../src/store/sqlite/store.ts";
import {
  ADDRESSES,
  COMMENTS,
  DISPATCHERS,
  NAMES,
  pastOrder,
  type PlannedOrder,
  TARIFFS,
  TODAY,
} from "./seed-data.ts";

// Fills an empty SQLite database with two weeks of orders and one busy day, the same on every run.
// The service itself creates them, with a simulated clock and a provider that sometimes fails.

const USERS = 60;
const PAST_ORDERS = 400;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const TWO_WEEKS_MS = 14 * DAY_MS;
/** Orders from earlier days end this long ago; today's follow. */
const PAST_END_MS = 6 * 60 * MINUTE_MS;

const config = readConfig(process.env);
if (config.database.kind !== "sqlite") {
  console.error(
    "Only SQLite databases can be seeded, to avoid filling a shared database by mistake.",
  );
  process.exit(1);
}
const { path } = config.database;
const log = createLog({ level: "error", json: false, write: console.error, now: Date.now });

try {
  const count = await seed();
  console.log(`${path} now has ${count} orders from ${USERS} users.`);
} catch (error) {
  if (!(error instanceof DatabaseUnusable)) throw error;
  console.error(error.message);
  process.exit(1);
}

async function seed(): Promise<number> {
  const store = openSqliteStore(path, log, () => performance.now());
  const [existing] = await store.read((tx) => tx.select().from(tx.tables.orders).limit(1));
  if (existing !== undefined) {
    await store.close();
    throw new DatabaseUnusable(
      `The database ${path} already has orders; set DATABASE_URL to a new file.`,
    );
  }

  const endMs = Date.now();
  let nowMs = endMs - TWO_WEEKS_MS;
  let isProviderReliable = false;
  const { http, workers, idle } = createApp({
    store,
    config: {
      ...config,
      ...{ apiKeys: [], adminApiKeys: [], allowedHosts: null, publicUrl: null },
      ...{ dispatchers: DISPATCHERS, ordersPerUserPerHour: 0 },
    },
    sms: { sendCode: async () => {} },
    payment: {
      async charge({ orderId }) {
        if (isProviderReliable) return "paid";
        // Recent ones only: the service charges them on its next start, as new orders.
        const isRecent = endMs - nowMs < DAY_MS;
        if (isRecent && orderId % 10 === 7) throw new Error("the provider is down");
        return orderId % 9 === 0 ? "declined" : "paid";
      },
    },
    dispatcher: {
      async notify({ orderId }) {
        if (orderId % 30 === 0) throw new Error("the dispatcher is unavailable");
      },
    },
    log,
    webhook: null,
    metrics: createMetrics(version, () => performance.now()),
    now: () => nowMs,
    randomId: () => crypto.randomUUID(),
  });

  function send(method: string, path: string, body: string, headers: Record<string, string>) {
    const options = { method, headers: { host: "localhost", ...headers }, body };
    return http.handle(new Request(`http://localhost${path}`, options));
  }

  async function sendJson(method: string, path: string, body: object, key?: string) {
    const type = { "content-type": "application/json" };
    const headers = key === undefined ? type : { ...type, "idempotency-key": key };
    const response = await send(method, path, JSON.stringify(body), headers);
    if (response.status >= 400 && response.status !== 402) throw new Error(await response.text());
    // `as`: every JSON response of the service is an object.
    return (await response.json()) as Record<string, unknown>;
  }

  /** Submits a board form. Signs in each time, because sessions expire after 12 hours. */
  async function submit(path: string, form: Record<string, string>, at: number) {
    const headers = {
      "content-type": "application/x-www-form-urlencoded",
      "sec-fetch-site": "same-origin",
    };
    const key = DISPATCHERS[at % DISPATCHERS.length]?.key ?? "";
    const signedIn = await send(
      "POST",
      "/board/sign-in",
      new URLSearchParams({ key }).toString(),
      headers,
    );
    const cookie = signedIn.headers.get("set-cookie")?.split(";")[0] ?? "";
    const body = new URLSearchParams(form).toString();
    const response = await send("POST", path, body, { ...headers, cookie });
    // Unpaid orders have no page.
    if (response.status >= 400 && response.status !== 404) throw new Error(await response.text());
  }

  const events: { at: number; run: () => Promise<void> }[] = [];

  function plan(order: PlannedOrder, n: number, paidAt: number, isToday: boolean) {
    let id = 0;
    events.push({
      at: paidAt,
      async run() {
        isProviderReliable = isToday;
        const request = {
          user_id: 1 + ((n * 37) % USERS),
          tariff_code: TARIFFS[n % TARIFFS.length]?.code,
          address: order.address ?? (n % 11 === 0 ? undefined : ADDRESSES[n % ADDRESSES.length]),
          comment: order.comment ?? (n % 4 === 0 ? COMMENTS[n % COMMENTS.length] : undefined),
        };
        const hasKey = isToday || n % 3 !== 0;
        const body = await sendJson(
          "POST",
          "/create_order",
          request,
          hasKey ? `order-${n}` : undefined,
        );
        id = Number(body["order_id"]);
      },
    });
    let seen = "new";
    for (const { verb, afterMin, to, ...form } of order.steps) {
      events.push({
        at: paidAt + afterMin * MINUTE_MS,
        async run() {
          await submit(`/board/orders/${id}/${verb}`, { seen, ...form }, n);
          seen = to;
        },
      });
    }
  }

  for (const { code, ...tariff } of TARIFFS) await sendJson("PUT", `/tariffs/${code}`, tariff);
  for (let user = 0; user < USERS; user++) {
    await sendJson("POST", "/register", {
      phone_number: `+99890${1_000_000 + user * 7919}`,
      chat_id: 700_000_000 + user,
      full_name: NAMES[user % NAMES.length],
    });
  }
  const pauseMs = (TWO_WEEKS_MS - PAST_END_MS) / PAST_ORDERS;
  for (let n = 0; n < PAST_ORDERS; n++) {
    plan(pastOrder(n), n, endMs - TWO_WEEKS_MS + n * pauseMs, false);
  }
  TODAY.forEach((order, at) => {
    plan(order, PAST_ORDERS + at, endMs - order.agoMin * MINUTE_MS, true);
  });
  for (const { at, run } of events.toSorted((a, b) => a.at - b.at)) {
    nowMs = at;
    await run();
  }
  nowMs = endMs;
  isProviderReliable = false;
  await workers.charge.runOnce();
  await idle();
  const rows = await store.read((tx) =>
    tx.select({ id: tx.tables.orders.id }).from(tx.tables.orders),
  );
  await store.close();
  return rows.length;
}
