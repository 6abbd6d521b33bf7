import { createDispatcherStub, createPaymentStub, createSmsStub } from "../src/adapters/stubs.ts";
import { createLog } from "../src/log.ts";
import { createMetrics } from "../src/metrics.ts";
import { startServer } from "../src/server.ts";
import { readConfig } from "../src/config.ts";
import { openSqliteStore } from "../src/store/sqlite/store.ts";
import type { Store } from "../src/store/store.ts";

// The service without group commit: one item per transaction, and each transaction begins when the
// previous one is on disk.

function oneAtATime(store: Store): Store {
  let last: Promise<unknown> = Promise.resolve();
  const run: Store["run"] = (work) => {
    const transaction = last.then(() => store.run(work));
    last = transaction.catch(() => {});
    return transaction;
  };
  return {
    ...store,
    run,
    batch: (work) => async (item) => {
      const [result] = await run((tx) => work(tx, [item]));
      if (result === undefined) throw new Error("a batch of 1 item returned no result");
      return result;
    },
  };
}

const config = readConfig(process.env);
if (config.database.kind !== "sqlite") throw new Error("DATABASE_URL must be a SQLite database");
const log = createLog({ level: config.logLevel, json: true, write: console.log, now: Date.now });
const { url } = await startServer({
  store: oneAtATime(openSqliteStore(config.database.path, log, () => performance.now())),
  sms: createSmsStub(log),
  payment: createPaymentStub(log, config.paymentStubDelayMs),
  dispatcher: createDispatcherStub(log),
  log,
  webhook: null,
  metrics: createMetrics("test", () => performance.now()),
  now: Date.now,
  randomId: () => crypto.randomUUID(),
  config,
});
console.log(`listening on ${url}`);
