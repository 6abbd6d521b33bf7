import { type DatabaseConfig, describeDatabase, parseDatabaseUrl } from "./lib/database-url.ts";
import { hasVisibleCharacter } from "./lib/format.ts";
import { LOG_LEVELS, type LogLevel } from "./log.ts";

/** How to read and show the setting of one environment variable. */
export interface Setting<Value> {
  readonly variable: string;
  readonly defaultValue: Value;
  /** Returns undefined if the text is invalid. */
  readonly parse: (text: string) => Value | undefined;
  /** Completes the message "must be …". */
  readonly expected: string;
  /**
   * Formats the value for the log, without secrets. Empty if the setting is unset: an empty
   * variable also means the default.
   */
  readonly show: (value: Value) => string | number;
  /** Error messages do not quote the value. */
  readonly isSecret?: true;
}

/** No client waits longer for a payment, and Bun's idle timeout is at most 255 s. */
const MAX_TIMEOUT_MS = 120_000;
const DAY_S = 86_400;

/** Higher limits would have no effect. */
const MAX_PER_HOUR = 1_000_000;

/** A topic's id is the id of its first message, a signed 32-bit integer. */
const MAX_THREAD_ID = 2 ** 31 - 1;

/** Visible ASCII characters, which fit in a header, except the separator `,`. */
const KEY = /^[!-+\--~]+$/;
const HOST_NAME = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d+)?$/i;
/** The name may contain letters of any script, but not the separators `:` and `.`. */
const DISPATCHER = /^([\p{L}\p{N}][\p{L}\p{N} '’‘_-]{0,39}):([!-+\--~]{16,})$/u;
/** A host name or address of this machine; IPv6 with or without brackets. */
export const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i;

/** All settings; docs/configuration.md explains them. */
export const SETTINGS = {
  host: setting<string>({
    variable: "HOST",
    defaultValue: "127.0.0.1",
    parse: (text) => text.trim().replace(/^\[(.*)\]$/, "$1") || undefined,
    expected: "an address",
    show: String,
  }),
  port: wholeNumber("PORT", 8000, 0, 65_535),
  database: setting<DatabaseConfig>({
    variable: "DATABASE_URL",
    defaultValue: { kind: "sqlite", path: "data/nmservis.db" },
    parse: parseDatabaseUrl,
    expected:
      "file: and a path, such as file:data/nmservis.db, or postgres://user@host/database, with special characters percent-encoded",
    show: describeDatabase,
    // The URL may contain a password.
    isSecret: true,
  }),
  /** Client keys. Without any, there is no authentication. */
  apiKeys: keys("API_KEY"),
  adminApiKeys: keys("ADMIN_API_KEY"),
  /** Accepted `Host` names; null for any. `readConfig` replaces null if `HOST` is loopback. */
  allowedHosts: setting<readonly string[] | null>({
    variable: "ALLOWED_HOSTS",
    defaultValue: null,
    parse: (text) => parseList(text, HOST_NAME),
    expected: "one or more host names, comma-separated",
    show: (names) => names?.join(",") ?? "",
  }),
  /** Origins of web pages that may call the API. */
  corsOrigins: setting<readonly string[]>({
    variable: "CORS_ORIGINS",
    defaultValue: [],
    parse: parseOrigins,
    expected: "one or more origins such as https://app.example.uz, comma-separated",
    show: (origins) => origins.join(","),
  }),
  /** Users of the board, each with their own key. */
  dispatchers: setting<readonly Dispatcher[]>({
    variable: "DISPATCHERS",
    defaultValue: [],
    parse: parseDispatchers,
    expected:
      "name:key pairs, comma-separated, with unique, visible names, and unique keys of at least 16 characters",
    show: (dispatchers) => dispatchers.map(({ name }) => name).join(","),
    isSecret: true,
  }),
  /** The service's public origin; null if unknown. */
  publicUrl: setting<string | null>({
    variable: "PUBLIC_URL",
    defaultValue: null,
    parse: parseOrigin,
    expected: "an origin such as https://orders.example.uz",
    show: (origin) => origin ?? "",
  }),
  /** The bot that notifies dispatchers in a Telegram chat; null for the stub. */
  telegramBotToken: setting<string | null>({
    variable: "TELEGRAM_BOT_TOKEN",
    defaultValue: null,
    parse: (text) => (/^\d+:[\w-]{10,}$/.test(text) ? text : undefined),
    expected: "a bot token from BotFather",
    show: (token) => (token === null ? "" : "set"),
    isSecret: true,
  }),
  telegramDispatchChatId: setting<string | null>({
    variable: "TELEGRAM_DISPATCH_CHAT_ID",
    defaultValue: null,
    parse: (text) => (/^(-?\d+|@\w+)$/.test(text) ? text : undefined),
    expected: "a chat id, or @ and the chat's username",
    show: (chat) => chat ?? "",
  }),
  /** The topic to post to; null for the General topic or a chat without topics. */
  telegramDispatchThreadId: setting<number | null>({
    variable: "TELEGRAM_DISPATCH_THREAD_ID",
    defaultValue: null,
    parse: (text) => parseWhole(text, 1, MAX_THREAD_ID),
    expected: `a topic id, from 1 to ${MAX_THREAD_ID}`,
    show: (thread) => thread ?? "",
  }),
  telegramApiUrl: setting<string>({
    variable: "TELEGRAM_API_URL",
    defaultValue: "https://api.telegram.org",
    parse: parseOrigin,
    expected: "an origin such as https://api.telegram.org",
    show: String,
  }),
  /** The bot's webhook; null for none. */
  webhookUrl: setting<string | null>({
    variable: "WEBHOOK_URL",
    defaultValue: null,
    parse: parseWebhookUrl,
    expected: "an https URL, or an http URL on this machine",
    show: (url) => (url === null ? "" : new URL(url).host),
    // The URL may contain a token.
    isSecret: true,
  }),
  webhookSecret: setting<Uint8Array | null>({
    variable: "WEBHOOK_SECRET",
    defaultValue: null,
    parse: parseWebhookSecret,
    expected: "whsec_ and 24 to 64 bytes in base64",
    show: (secret) => (secret === null ? "" : "set"),
    isSecret: true,
  }),
  paymentTimeoutMs: wholeNumber("PAYMENT_TIMEOUT_MS", 8000, 1, MAX_TIMEOUT_MS),
  paymentStubDelayMs: wholeNumber("PAYMENT_STUB_DELAY_MS", 1000, 0, MAX_TIMEOUT_MS),
  orderRepeatWindowMs: seconds("ORDER_REPEAT_WINDOW_S", 120),
  smsCooldownMs: seconds("SMS_COOLDOWN_S", 60),
  smsPerHour: wholeNumber("SMS_PER_HOUR", 500, 0, MAX_PER_HOUR),
  ordersPerUserPerHour: wholeNumber("ORDERS_PER_USER_PER_HOUR", 30, 0, MAX_PER_HOUR),
  /** Folder for scheduled backups; null for none. */
  backupDir: setting<string | null>({
    variable: "BACKUP_DIR",
    defaultValue: null,
    parse: (text) => (text === "none" ? null : text),
    expected: "a folder",
    show: (folder) => folder ?? "",
  }),
  backupEveryH: wholeNumber("BACKUP_EVERY_H", 24, 1, 24 * 365),
  backupKeep: wholeNumber("BACKUP_KEEP", 7, 1, 10_000),
  logLevel: setting<LogLevel>({
    variable: "LOG_LEVEL",
    defaultValue: "info",
    parse: (text) => LOG_LEVELS.find((level) => level === text),
    expected: `one of ${LOG_LEVELS.join(", ")}`,
    show: String,
  }),
};

/** A user of the board. */
export interface Dispatcher {
  readonly name: string;
  readonly key: string;
}

/** Lets the compiler infer and check the row's type. */
function setting<Value>(row: Setting<Value>): Setting<Value> {
  return row;
}

function wholeNumber(
  variable: string,
  defaultValue: number,
  min: number,
  max: number,
): Setting<number> {
  return {
    variable,
    defaultValue,
    parse: (text) => parseWhole(text, min, max),
    expected: `a whole number from ${min} to ${max}`,
    show: (value) => value,
  };
}

/** Defines a setting in seconds, at most a day. Its value is in ms. */
function seconds(variable: string, defaultValue: number): Setting<number> {
  const row = wholeNumber(variable, defaultValue, 0, DAY_S);
  return {
    ...row,
    defaultValue: defaultValue * 1000,
    parse(text) {
      const value = row.parse(text);
      return value === undefined ? undefined : value * 1000;
    },
    show: (value) => value / 1000,
  };
}

function keys(variable: string): Setting<readonly string[]> {
  return {
    variable,
    defaultValue: [],
    parse: (text) => parseList(text, KEY),
    expected: "one or more keys of visible ASCII characters, comma-separated",
    show: countKeys,
    isSecret: true,
  };
}

function countKeys({ length }: readonly string[]): string {
  return length === 0 ? "" : length === 1 ? "one key" : `${length} keys`;
}

function parseWhole(text: string, min: number, max: number): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}

function parseList(text: string, item: RegExp): string[] | undefined {
  const items = text.split(",").map((one) => one.trim());
  return items.every((one) => item.test(one)) ? items : undefined;
}

function parseDispatchers(text: string): Dispatcher[] | undefined {
  const dispatchers = text.split(",").flatMap((one) => {
    const [, name, key] = DISPATCHER.exec(one.trim()) ?? [];
    // Some letters are invisible, such as U+3164.
    if (name === undefined || key === undefined || !hasVisibleCharacter(name)) return [];
    return [{ name: name.trim(), key }];
  });
  const areValid = dispatchers.length === text.split(",").length;
  const names = new Set(dispatchers.map(({ name }) => name));
  const keys = new Set(dispatchers.map(({ key }) => key));
  const areUnique = names.size === dispatchers.length && keys.size === dispatchers.length;
  return areValid && areUnique ? dispatchers : undefined;
}

function parseWebhookUrl(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "") return undefined;
  const isSafe =
    url.protocol === "https:" || (url.protocol === "http:" && LOOPBACK.test(url.hostname));
  return isSafe ? url.href : undefined;
}

function parseWebhookSecret(text: string): Uint8Array | undefined {
  const [, base64 = ""] = /^whsec_([A-Za-z0-9+/]+=*)$/.exec(text) ?? [];
  const bytes = Buffer.from(base64, "base64");
  return bytes.length >= 24 && bytes.length <= 64 ? bytes : undefined;
}

/** Parses origins. Accepts only the form that browsers send, because others would never match. */
function parseOrigins(text: string): string[] | undefined {
  const origins = parseList(text, /^https?:/);
  return origins?.every((origin) => URL.parse(origin)?.origin === origin) ? origins : undefined;
}

function parseOrigin(text: string): string | undefined {
  const [origin, ...others] = parseOrigins(text) ?? [];
  return others.length === 0 ? origin : undefined;
}
