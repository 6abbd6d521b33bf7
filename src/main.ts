import { createDispatcherStub } from "./adapters/dispatcher-stub.ts";
import { createPaymentStub } from "./adapters/payment-stub.ts";
import { createSmsStub } from "./adapters/sms-stub.ts";
import { createLog } from "./log.ts";
import { AddressRefused, startService } from "./service.ts";
import { readSettings, SettingsRefused } from "./settings.ts";
import { DatabaseRefused, openSqliteStore } from "./store/sqlite-store.ts";

try {
  const settings = readSettings(process.env);
  const log = createLog(settings.logLevel, (line) => console.log(line));
  const service = await startService({
    store: openSqliteStore(settings.databasePath),
    sms: createSmsStub(log),
    payment: createPaymentStub(log, settings.paymentStubDelayMs),
    dispatcher: createDispatcherStub(log),
    log,
    now: Date.now,
    randomId: () => crypto.randomUUID(),
    settings,
  });
  console.log(`NMservis is listening on ${service.url}`);

  let stopping: Promise<never> | undefined;
  const stop = () => {
    // Ctrl-C reaches the process twice under npx: the second changes nothing.
    stopping ??= service.stop().then(() => process.exit(0));
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
} catch (fault) {
  if (!isRefusal(fault)) throw fault;
  console.error(fault.message);
  process.exit(1);
}

/** The owner can mend it: a sentence serves better than a stack. */
function isRefusal(fault: unknown): fault is Error {
  return [SettingsRefused, DatabaseRefused, AddressRefused].some((kind) => fault instanceof kind);
}
