import { resolve } from "node:path";
import { version } from "../../package.json";
import { createDispatcherStub, createPaymentStub, createSmsStub } from "../adapters/stubs.ts";
import { createTelegramDispatcher } from "../adapters/telegram-dispatcher.ts";
import { createWebhook } from "../adapters/webhook.ts";
import { type Config, describeConfig, readConfig } from "../config.ts";
import type { DatabaseConfig } from "../lib/database-url.ts";
import { createLineWriter } from "../lib/line-writer.ts";
import { createLog, type Log } from "../log.ts";
import { createMetrics, type Metrics } from "../metrics.ts";
import type { Clock } from "../ports.ts";
import { startServer } from "../server.ts";
import { openSqliteStore } from "../store/sqlite/store.ts";
import type { Store } from "../store/store.ts";
import type { Context, RunCommand } from "./command.ts";
import { runBackups } from "./scheduled-backups.ts";
import { stopSignals } from "./terminal.ts";

/** Shorter keys can be brute-forced, at a few thousand requests per second. */
const MIN_KEY_LENGTH = 16;

const HOUR_MS = 3_600_000;

/** Timeout for the last log lines: an unread pipe must not delay shutdown. */
const LAST_LINES_MS = 1000;

/** `nmservis serve`: runs until a signal. The only command that creates a database. */
export const serve: RunCommand = async (context) => {
  const config = readConfig(context.environment);
  const output = createLineWriter(context.writeBytes, (lines) =>
    log.error(`${lines} lines were lost: stdout was not read in time.`),
  );
  const log = createLog({
    level: config.logLevel,
    json: !context.isTerminal,
    write: output.write,
    now: context.now,
  });
  try {
    await serveUntilSignal(config, log, output.write, context);
  } finally {
    await output.end(LAST_LINES_MS);
  }
};

async function serveUntilSignal(
  config: Config,
  log: Log,
  print: (line: string) => void,
  context: Context,
): Promise<void> {
  logSettings(config, log);
  const metrics = createMetrics(version, context.elapsed);
  const service = await startServer({
    ...(await openStore(config.database, log, metrics, context)),
    sms: createSmsStub(log),
    payment: createPaymentStub(log, config.paymentStubDelayMs),
    dispatcher: createDispatcher(config, log, context),
    webhook: createWebhookOf(config, context),
    log,
    metrics,
    randomId: context.randomId,
    config,
  });
  print(`NMservis is listening on ${service.url}`);
  const stopping = new AbortController();
  const backups = startBackups(config, log, metrics, context, stopping.signal);
  const signal = await nextSignal();
  log.info(`${signal}: finishing running requests, then stopping.`);
  stopping.abort();
  await service.stop();
  await backups;
}

/** Runs scheduled backups, if configured, as child processes of this program. */
async function startBackups(
  { database, backupDir, backupEveryH, backupKeep }: Config,
  log: Log,
  metrics: Metrics,
  { now, command }: Context,
  signal: AbortSignal,
): Promise<void> {
  if (backupDir === null) return;
  if (database.kind !== "sqlite") {
    return log.warn("BACKUP_DIR only works with SQLite: use PostgreSQL's tools for backups.");
  }
  const DATABASE_URL = `file:${database.path}`;
  await runBackups(
    {
      folder: backupDir,
      everyMs: backupEveryH * HOUR_MS,
      keep: backupKeep,
      log,
      metrics,
      now,
      async makeBackup(file) {
        // Absolute: a relative name may look like an option, or begin with a space.
        const child = Bun.spawn([...command, "backup", resolve(file)], {
          env: { DATABASE_URL },
          stdout: "ignore",
          stderr: "pipe",
          signal,
        });
        const errors = await child.stderr.text();
        if ((await child.exited) !== 0) throw new Error(errors.trim());
      },
    },
    signal,
  );
}

function logSettings(config: Config, log: Log) {
  const settings = describeConfig(config);
  const pairs = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  log.info(`Settings: ${pairs.join(" ")}`, settings);
  if ([...config.apiKeys, ...config.adminApiKeys].some(({ length }) => length < MIN_KEY_LENGTH)) {
    log.warn(
      `A key in API_KEY or ADMIN_API_KEY is shorter than ${MIN_KEY_LENGTH} characters, so it could be guessed.`,
    );
  }
  if (config.apiKeys.length > 0) {
    // A key suggests a real deployment.
    log.warn("Payments are simulated by the payment stub: every order is marked as paid.");
    if (config.dispatchers.length === 0) {
      log.info("There is no board: DISPATCHERS is not set.");
    }
  } else {
    log.warn(
      "API_KEY is not set: anyone on this machine can do everything, including changing prices.",
    );
  }
}

async function openStore(
  database: DatabaseConfig,
  log: Log,
  metrics: Metrics,
  { now, elapsed }: Context,
): Promise<{ store: Store; now: Clock }> {
  switch (database.kind) {
    case "sqlite":
      return { store: openSqliteStore(database.path, log, elapsed, metrics), now };
    case "postgres": {
      // Loaded only if needed: the driver and its builders add 10 ms to each start.
      const { openPostgresStore } = await import("../store/postgres/store.ts");
      const store = await openPostgresStore(database.url, log, elapsed, metrics);
      return { store, now: store.now };
    }
  }
}

function createDispatcher(config: Config, log: Log, { fetch, now }: Context) {
  const { telegramBotToken: token, telegramDispatchChatId: chatId } = config;
  if (token === null || chatId === null) return createDispatcherStub(log);
  const { telegramDispatchThreadId: threadId, telegramApiUrl: apiUrl, publicUrl } = config;
  return createTelegramDispatcher({ token, chatId, threadId, apiUrl, publicUrl, fetch, log, now });
}

function createWebhookOf({ webhookUrl: url, webhookSecret: secret }: Config, context: Context) {
  if (url === null || secret === null) return null;
  return createWebhook({ url, secret, fetch: context.fetch, now: context.now });
}

/** Resolves with the first signal that asks the process to stop. */
function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    // Under npx, Ctrl-C arrives twice; the second is ignored.
    for (const signal of stopSignals()) process.on(signal, resolve);
  });
}
