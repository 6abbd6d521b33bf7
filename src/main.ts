import { createDispatcherStub } from "./adapters/dispatcher-stub.ts";
import { createPaymentStub } from "./adapters/payment-stub.ts";
import { createSmsStub } from "./adapters/sms-stub.ts";
import { createApp } from "./app.ts";
import { createLog } from "./log.ts";
import { readSettings } from "./settings.ts";
import { openSqliteStore } from "./store/sqlite-store.ts";

const settings = readSettings(process.env);
const log = createLog(settings.logLevel, console.log);
const store = openSqliteStore(settings.databasePath);
const app = createApp({
  store,
  sms: createSmsStub(log),
  payment: createPaymentStub(log, settings.paymentStubDelayMs),
  dispatcher: createDispatcherStub(log),
  log,
  now: Date.now,
  randomId: () => crypto.randomUUID(),
  settings,
});
app.listen({ hostname: settings.host, port: settings.port, reusePort: false });
console.log(`NMservis is listening on http://${settings.host}:${app.server?.port}`);
