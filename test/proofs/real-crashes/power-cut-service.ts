import type { Database } from "bun:sqlite";
import { dlopen, FFIType } from "bun:ffi";
import { createApp } from "../../../src/app.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { readConfig } from "../../../src/config.ts";
import { openStore } from "../../support/store.ts";

// Places orders in the real service while write-log.c records every write by SQLite; records each
// answer in the same log. Arguments: the write-log library, the database, the number of orders.

const [library = "", databasePath = "", count = "0"] = process.argv.slice(2);

/** Concurrent customers, so that transactions share commits. */
const CUSTOMERS = 10;

/** Small, so that the WAL is checkpointed many times. */
const CHECKPOINT_PAGES = 30;

const { symbols } = dlopen(library, {
  write_log_acknowledge: { args: [FFIType.i64, FFIType.i32], returns: FFIType.void },
});

// No top-level await: bytecode does not support it.
void main();

async function main() {
  const store = openStore(databasePath);
  // `as`: the connection under the store, for settings that the store does not offer.
  const database = await store.run(async (tx) => (tx as unknown as { $client: Database }).$client);
  database.run(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  if (process.env["SABOTAGE"] === "synchronous off") database.run("PRAGMA synchronous = OFF");

  const app = createApp({
    store,
    config: readConfig({ LOG_LEVEL: "error", ORDERS_PER_USER_PER_HOUR: "0" }),
    sms: { sendCode: async () => {} },
    payment: { charge: async ({ orderId }) => (orderId % 5 === 0 ? "declined" : "paid") },
    dispatcher: { notify: async () => {} },
    webhook: null,
    metrics: createMetrics("test", () => performance.now()),
    log: createLog({ level: "error", json: false, write: console.error, now: Date.now }),
    now: Date.now,
    randomId: () => crypto.randomUUID(),
  });

  async function post(path: string, body: object, key: string) {
    const response = await app.http.handle(
      new Request(`http://localhost${path}`, {
        method: "POST",
        headers: { host: "localhost", "content-type": "application/json", "idempotency-key": key },
        body: JSON.stringify(body),
      }),
    );
    // `as`: the contract's response bodies.
    const answer = (await response.json()) as { user_id: number; order_id: number };
    return { ...answer, status: response.status };
  }

  let left = Number(count);
  async function customer(phoneNumber: string) {
    const { user_id } = await post("/register", { phone_number: phoneNumber }, "none");
    while (left > 0) {
      // The same in each run, and spread over the index like real clients' keys.
      const key = Bun.randomUUIDv5(`order ${left--}`, "url");
      const { status, order_id } = await post(
        "/create_order",
        { user_id, tariff_code: "standard_300" },
        key,
      );
      symbols.write_log_acknowledge(order_id, status);
    }
  }
  await Promise.all(
    Array.from({ length: CUSTOMERS }, (_, i) => customer(`+99890${1_000_000 + i}`)),
  );
  process.exit(0);
}
