import { createDispatcherStub } from "../src/adapters/dispatcher-stub.ts";
import { createPaymentStub } from "../src/adapters/payment-stub.ts";
import { createSmsStub } from "../src/adapters/sms-stub.ts";
import { createLog } from "../src/log.ts";
import { createMetrics } from "../src/metrics.ts";
import { startServer } from "../src/server.ts";
import { readConfig } from "../src/config.ts";
import { openSqliteStore } from "../src/store/sqlite/store.ts";
import type { Store } from "../src/store/store.ts";

// This service without group commit: a step is one item's, and begins when the one before it is on disk.

function oneAtATime(store: Store): Store {
  let last: Promise<unknown> = Promise.resolve();
  const run: Store["run"] = (work) => {
    const step = last.then(() => store.run(work));
    last = step.catch(() => {});
    return step;
  };
  return {
    ...store,
    run,
    batch: (work) => async (item) => {
      const [result] = await run((tx) => work(tx, [item]));
      if (result === undefined) throw new Error("a step without a result");
      return result;
    },
  };
}

const config = readConfig(process.env);
if (config.database.kind !== "sqlite") throw new Error("this contender is one of SQLite");
const log = createLog({ level: config.logLevel, json: true, write: console.log, now: Date.now });
const { url } = await startServer({
  store: oneAtATime(openSqliteStore(config.database.path, log)),
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
