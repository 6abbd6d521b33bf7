import { createDispatcherStub } from "../../src/adapters/dispatcher-stub.ts";
import { createPaymentStub } from "../../src/adapters/payment-stub.ts";
import { createSmsStub } from "../../src/adapters/sms-stub.ts";
import { createLog } from "../../src/log.ts";
import { startService } from "../../src/service.ts";
import { readSettings } from "../../src/settings.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import type { Store } from "../../src/store/store.ts";

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
    grouped: (work) => async (item) => {
      const [result] = await run((tx) => work(tx, [item]));
      if (result === undefined) throw new Error("a step without a result");
      return result;
    },
  };
}

const settings = readSettings(process.env);
const log = createLog({ level: settings.logLevel, json: true, write: console.log, now: Date.now });
const { url } = await startService({
  store: oneAtATime(openSqliteStore(settings.databasePath, log)),
  sms: createSmsStub(log),
  payment: createPaymentStub(log, settings.paymentStubDelayMs),
  dispatcher: createDispatcherStub(log),
  log,
  now: Date.now,
  randomId: () => crypto.randomUUID(),
  settings,
});
console.log(`listening on ${url}`);
