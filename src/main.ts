import { write } from "node:fs";
import { promisify } from "node:util";
import { createDispatcherStub } from "./adapters/dispatcher-stub.ts";
import { createPaymentStub } from "./adapters/payment-stub.ts";
import { createSmsStub } from "./adapters/sms-stub.ts";
import { createLineWriter } from "./line-writer.ts";
import { createLog, type Log } from "./log.ts";
import { AddressUnavailable, startServer } from "./server.ts";
import {
  type Config,
  type DatabaseConfig,
  describeConfig,
  InvalidConfig,
  readConfig,
} from "./config.ts";
import { DatabaseUnusable } from "./store/database-lock.ts";
import type { Clock } from "./ports.ts";
import { openPostgresStore } from "./store/postgres-store.ts";
import { openSqliteStore } from "./store/sqlite-store.ts";
import type { Store } from "./store/store.ts";

const STDOUT = 1;

/** Long enough for a pipe that is read; one that nobody reads must not hold up the stop. */
const LAST_LINES_MS = 1000;

/** Fewer characters than these can be tried out, at some thousand requests a second. */
const SHORT_KEY = 16;

const EXIT_DONE = 0;
const EXIT_REFUSED = 1;
const EXIT_USAGE = 2;

const writeToStdout = promisify(write);

let log: Log | undefined;
const output = createLineWriter(
  async (bytes) => (await writeToStdout(STDOUT, bytes)).bytesWritten,
  (lines) => log?.error(`${lines} lines were lost: nobody has read them.`),
);

const [unknown] = process.argv.slice(2);
if (unknown !== undefined) {
  await exit(EXIT_USAGE, `nmservis: there is no argument ${unknown}; README.md has the settings.`);
}
try {
  const config = readConfig(process.env);
  log = createLog({
    level: config.logLevel,
    json: !process.stdout.isTTY,
    write: output.write,
    now: Date.now,
  });
  await serve(config, log);
} catch (fault) {
  if (!isRefusal(fault)) throw fault;
  await exit(EXIT_REFUSED, fault.message);
}

async function serve(config: Config, log: Log): Promise<void> {
  const inForce = describeConfig(config);
  const words = Object.entries(inForce).map(([name, value]) => `${name}=${value}`);
  log.info(`Settings: ${words.join(" ")}`, inForce);
  if ([...config.apiKeys, ...config.adminApiKeys].some(({ length }) => length < SHORT_KEY)) {
    log.warn(
      `A key in API_KEY or ADMIN_API_KEY is shorter than ${SHORT_KEY} characters: it may be guessed.`,
    );
  }
  if (config.apiKeys.length === 0) {
    log.warn("There is no API_KEY: everybody on this machine may do everything, prices too.");
  }

  const service = await startServer({
    ...(await openStore(config.database, log)),
    sms: createSmsStub(log),
    payment: createPaymentStub(log, config.paymentStubDelayMs),
    dispatcher: createDispatcherStub(log),
    log,
    randomId: () => crypto.randomUUID(),
    config,
  });
  output.write(`NMservis is listening on ${service.url}`);

  let stopping: Promise<void> | undefined;
  const stop = (signal: NodeJS.Signals) => {
    // Ctrl-C reaches the process twice under npx: the second changes nothing.
    stopping ??= (async () => {
      log.info(`${signal}: answering what is running, then ending.`);
      await service.stop();
      await exit(EXIT_DONE);
    })();
  };
  // SIGHUP is what a terminal sends that is closed.
  process.on("SIGTERM", stop).on("SIGINT", stop).on("SIGHUP", stop);
}

async function openStore(
  database: DatabaseConfig,
  log: Log,
): Promise<{ store: Store; now: Clock }> {
  switch (database.kind) {
    case "sqlite":
      return { store: openSqliteStore(database.path, log), now: Date.now };
    case "postgres": {
      const store = await openPostgresStore(database.url, log, () => performance.now());
      return { store, now: store.now };
    }
  }
}

/** Ends the process, once what it has said is written. */
async function exit(status: number, lastWords?: string): Promise<never> {
  await output.end(LAST_LINES_MS);
  if (lastWords !== undefined) console.error(lastWords);
  return process.exit(status);
}

/** The owner can mend it: a sentence serves better than a stack. */
function isRefusal(fault: unknown): fault is Error {
  return [InvalidConfig, DatabaseUnusable, AddressUnavailable].some(
    (kind) => fault instanceof kind,
  );
}
