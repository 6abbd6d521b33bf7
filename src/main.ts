import { createDispatcherStub } from "./adapters/dispatcher-stub.ts";
import { createPaymentStub } from "./adapters/payment-stub.ts";
import { createSmsStub } from "./adapters/sms-stub.ts";
import { createLog } from "./log.ts";
import { AddressRefused, startService } from "./service.ts";
import { describeSettings, readSettings, SettingsRefused } from "./settings.ts";
import { DatabaseRefused, openSqliteStore } from "./store/sqlite-store.ts";

try {
  const settings = readSettings(process.env);
  const log = createLog({
    level: settings.logLevel,
    json: !process.stdout.isTTY,
    write: (line) => console.log(line),
    now: Date.now,
  });
  const inForce = describeSettings(settings);
  const words = Object.entries(inForce).map(([name, value]) => `${name}=${value}`);
  log.info(`Settings: ${words.join(" ")}`, inForce);
  if (settings.apiKeys.length === 0) {
    log.warn("There is no API_KEY: everybody on this machine may do everything, prices too.");
  }

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
