import { LOG_LEVELS, type LogLevel } from "./log.ts";

/** A setting that an environment variable has, in one row: how it is read, and how it is shown. */
interface Setting<Value> {
  readonly variable: string;
  readonly defaultValue: Value;
  /** Undefined where the text is no value. */
  readonly parse: (text: string) => Value | undefined;
  /** What the text must be, to stand after "must be". */
  readonly expected: string;
  /** As it stands in the log, with no key in it. */
  readonly show: (value: Value) => string | number;
  /** What was given is not repeated in an error. */
  readonly isSecret?: true;
}

/** A payment that takes longer helps nobody, and a connection may be silent for 255 s at most. */
const MAX_TIMEOUT_MS = 120_000;
const DAY_S = 86_400;

/** A limit beyond this is none. */
const MAX_PER_HOUR = 1_000_000;

/** Telegram counts messages, and topics by their first message, in 32 bits. */
const MAX_THREAD_ID = 2 ** 31 - 1;

/** What a header can hold, and no comma, which parts one key from the next. */
const KEY = /^[!-+\--~]+$/;
const HOST_NAME = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d+)?$/i;
/** Letters of any script; neither a colon nor a dot, which part it from what follows. */
const DISPATCHER = /^([\p{L}\p{N}][\p{L}\p{N} '’‘_-]{0,39}):([!-+\--~]{16,})$/u;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/i;
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];

/** Every setting; docs/configuration.md explains them. */
export const SETTINGS = {
  host: {
    variable: "HOST",
    defaultValue: "127.0.0.1",
    parse: (text: string) => text.trim().replace(/^\[(.*)\]$/, "$1") || undefined,
    expected: "an address",
    show: String,
  },
  port: whole("PORT", 8000, 0, 65_535),
  database: setting<DatabaseConfig>({
    variable: "DATABASE_URL",
    defaultValue: { kind: "sqlite", path: "data/nmservis.db" },
    parse: parseDatabaseUrl,
    expected: "file: and a path, such as file:data/nmservis.db, or postgres://user@host/database",
    show: (database) =>
      database.kind === "sqlite" ? `file:${database.path}` : withoutPassword(database.url),
    // A password may stand in it.
    isSecret: true,
  }),
  /** The clients' keys; without any, everybody may do everything. */
  apiKeys: keys("API_KEY"),
  /** The owner's keys. */
  adminApiKeys: keys("ADMIN_API_KEY"),
  /** The names that are served; null for any, or for the default that follows from the host. */
  allowedHosts: setting<readonly string[] | null>({
    variable: "ALLOWED_HOSTS",
    defaultValue: null,
    parse: (text) => parseList(text, HOST_NAME),
    expected: "one or more host names, comma-separated",
    show: (names) => names?.join(",") ?? "any",
  }),
  /** Whose pages may call from a browser. */
  corsOrigins: setting<readonly string[]>({
    variable: "CORS_ORIGINS",
    defaultValue: [],
    parse: parseOrigins,
    expected: "one or more origins such as https://app.example.uz, comma-separated",
    show: (origins) => origins.join(",") || "none",
  }),
  /** Who may work orders on the board, each by a key of his own. */
  dispatchers: setting<readonly Dispatcher[]>({
    variable: "DISPATCHERS",
    defaultValue: [],
    parse: parseDispatchers,
    expected:
      "name:key, one or more, comma-separated, each name once, each key its own and of 16 characters or more",
    show: (dispatchers) => dispatchers.map(({ name }) => name).join(",") || "none",
    isSecret: true,
  }),
  /** Where browsers find the service; null where nobody has said so. */
  publicUrl: setting<string | null>({
    variable: "PUBLIC_URL",
    defaultValue: null,
    parse: (text) => parseOrigins(text)?.[0],
    expected: "an origin such as https://orders.example.uz",
    show: (origin) => origin ?? "none",
  }),
  /** The bot that tells dispatchers in a Telegram chat; without it a stub does. */
  telegramBotToken: setting<string | null>({
    variable: "TELEGRAM_BOT_TOKEN",
    defaultValue: null,
    parse: (text) => (/^\d+:[\w-]{10,}$/.test(text) ? text : undefined),
    expected: "a bot's token, such as BotFather gives it",
    show: (token) => (token === null ? "none" : "one"),
    isSecret: true,
  }),
  telegramDispatchChatId: setting<string | null>({
    variable: "TELEGRAM_DISPATCH_CHAT_ID",
    defaultValue: null,
    parse: (text) => (/^(-?\d+|@\w+)$/.test(text) ? text : undefined),
    expected: "the number of a chat, or @ and its name",
    show: (chat) => chat ?? "none",
  }),
  /** The topic of that chat; null for a chat without topics, or for its first. */
  telegramDispatchThreadId: setting<number | null>({
    variable: "TELEGRAM_DISPATCH_THREAD_ID",
    defaultValue: null,
    parse: (text) => parseWhole(text, 1, MAX_THREAD_ID),
    expected: "the number of a topic, a whole number from 1",
    show: (thread) => thread ?? "none",
  }),
  telegramApiUrl: setting<string>({
    variable: "TELEGRAM_API_URL",
    defaultValue: "https://api.telegram.org",
    parse: (text) => parseOrigins(text)?.[0],
    expected: "an origin such as https://api.telegram.org",
    show: String,
  }),
  /** Where the bot hears what becomes of its orders; null where it does not want to. */
  webhookUrl: setting<string | null>({
    variable: "WEBHOOK_URL",
    defaultValue: null,
    parse: parseWebhookUrl,
    expected: "an https address, or an http address of this machine",
    show: (url) => (url === null ? "none" : new URL(url).host),
    // A token may stand in it.
    isSecret: true,
  }),
  webhookSecret: setting<Uint8Array | null>({
    variable: "WEBHOOK_SECRET",
    defaultValue: null,
    parse: parseWebhookSecret,
    expected: "whsec_ and 24 to 64 bytes in base64",
    show: (secret) => (secret === null ? "none" : "one"),
    isSecret: true,
  }),
  paymentTimeoutMs: whole("PAYMENT_TIMEOUT_MS", 8000, 1, MAX_TIMEOUT_MS),
  paymentStubDelayMs: whole("PAYMENT_STUB_DELAY_MS", 1000, 0, MAX_TIMEOUT_MS),
  orderRepeatWindowMs: seconds("ORDER_REPEAT_WINDOW_S", 120),
  smsCooldownMs: seconds("SMS_COOLDOWN_S", 60),
  smsPerHour: whole("SMS_PER_HOUR", 500, 0, MAX_PER_HOUR),
  ordersPerUserPerHour: whole("ORDERS_PER_USER_PER_HOUR", 30, 0, MAX_PER_HOUR),
  /** Where backups are made by themselves; null for nowhere. */
  backupDir: setting<string | null>({
    variable: "BACKUP_DIR",
    defaultValue: null,
    parse: (text) => (text === "none" ? null : text),
    expected: "a folder",
    show: (folder) => folder ?? "none",
  }),
  backupEveryH: whole("BACKUP_EVERY_H", 24, 1, 24 * 365),
  backupKeep: whole("BACKUP_KEEP", 7, 1, 10_000),
  logLevel: setting<LogLevel>({
    variable: "LOG_LEVEL",
    defaultValue: "info",
    parse: (text) => LOG_LEVELS.find((level) => level === text),
    expected: `one of ${LOG_LEVELS.join(", ")}`,
    show: String,
  }),
};

/** Where the data is: a file of SQLite, its path absolute or from the working directory; or PostgreSQL. */
export type DatabaseConfig =
  | { readonly kind: "sqlite"; readonly path: string }
  | { readonly kind: "postgres"; readonly url: string };

/** Somebody who works orders. */
export interface Dispatcher {
  readonly name: string;
  readonly key: string;
}

type ValueOf<Row> = Row extends { readonly defaultValue: infer Value } ? Value : never;

/** What the owner can set. */
export type Config = {
  readonly [Name in keyof typeof SETTINGS]: ValueOf<(typeof SETTINGS)[Name]>;
};

// `as`: a row is only ever asked to show the value that it has read.
const ROWS = Object.entries(SETTINGS) as [keyof Config, Setting<unknown>][];

export type Environment = Readonly<Record<string, string | undefined>>;

/** The config is wrong; the message names every fault. */
export class InvalidConfig extends Error {
  override readonly name = "InvalidConfig";
}

/** Reads the config; what is absent or empty has its default. Throws `InvalidConfig`. */
export function readConfig(environment: Environment): Config {
  const faults: string[] = [];
  const config = readRows(environment, ROWS, faults);

  const isLoopback = LOOPBACK.test(config.host);
  if (environment["ADMIN_API_KEY"] && !environment["API_KEY"]) {
    faults.push("ADMIN_API_KEY needs API_KEY beside it: without that, everything is open");
  }
  if (config.adminApiKeys.some((key) => config.apiKeys.includes(key))) {
    faults.push("ADMIN_API_KEY and API_KEY must not have a key in common");
  }
  if (environment["DISPATCHERS"] && !environment["API_KEY"]) {
    faults.push("DISPATCHERS needs API_KEY beside it: without that, everybody is a dispatcher");
  }
  if (!environment["TELEGRAM_BOT_TOKEN"] !== !environment["TELEGRAM_DISPATCH_CHAT_ID"]) {
    faults.push("TELEGRAM_BOT_TOKEN and TELEGRAM_DISPATCH_CHAT_ID must be set together");
  }
  const hasTelegram = environment["TELEGRAM_BOT_TOKEN"] && environment["TELEGRAM_DISPATCH_CHAT_ID"];
  if (environment["TELEGRAM_DISPATCH_THREAD_ID"] && !hasTelegram) {
    faults.push(
      "TELEGRAM_DISPATCH_THREAD_ID needs TELEGRAM_BOT_TOKEN and TELEGRAM_DISPATCH_CHAT_ID",
    );
  }
  if (hasTelegram && config.publicUrl !== null && !hasDottedHost(config.publicUrl)) {
    faults.push(
      `PUBLIC_URL must have a dot in its host name, such as https://orders.example.uz, not ` +
        `"${config.publicUrl}": Telegram takes no button to another`,
    );
  }
  if (!environment["WEBHOOK_URL"] !== !environment["WEBHOOK_SECRET"]) {
    faults.push("WEBHOOK_URL and WEBHOOK_SECRET must be set together");
  }
  if (!isLoopback && !environment["API_KEY"]) {
    faults.push(
      "HOST must be a loopback address, such as 127.0.0.1, as long as there is no API_KEY",
    );
  }
  if (faults.length > 0) throw new InvalidConfig(`Wrong settings: ${faults.join("; ")}.`);
  if (config.allowedHosts !== null || !isLoopback) return config;
  return { ...config, allowedHosts: [...new Set([...LOOPBACK_NAMES, authority(config.host)])] };
}

/** Reads these settings alone, whatever the others are. Throws `InvalidConfig`. */
export function readSettings<Name extends keyof Config>(
  environment: Environment,
  names: readonly Name[],
): Pick<Config, Name> {
  const faults: string[] = [];
  const wanted: readonly string[] = names;
  const rows = ROWS.filter(([name]) => wanted.includes(name));
  const settings = readRows(environment, rows, faults);
  if (faults.length > 0) throw new InvalidConfig(`Wrong settings: ${faults.join("; ")}.`);
  return settings;
}

function readRows(environment: Environment, rows: typeof ROWS, faults: string[]): Config {
  function read<Value>(row: Setting<Value>): Value {
    const { variable, defaultValue, parse, expected, isSecret } = row;
    const text = environment[variable];
    if (text === undefined || text === "") return defaultValue;
    const value = parse(text);
    if (value === undefined) {
      faults.push(
        `${variable} must be ${expected}${isSecret ? "" : `, not ${JSON.stringify(text)}`}`,
      );
    }
    return value ?? defaultValue;
  }
  const values = rows.map(([name, row]) => [name, read(row)]);
  // `as`: each name has the value of its own row, and nobody reads another than was asked for.
  return Object.fromEntries(values) as Config;
}

/** The config in force, by the names of its variables, with no key in it. */
export function describeConfig(config: Config): Record<string, string | number> {
  return Object.fromEntries(ROWS.map(([name, row]) => [row.variable, row.show(config[name])]));
}

/** Has the compiler hold a row's functions to its type. */
function setting<Value>(row: Setting<Value>): Setting<Value> {
  return row;
}

function whole(variable: string, defaultValue: number, min: number, max: number): Setting<number> {
  return {
    variable,
    defaultValue,
    parse: (text) => parseWhole(text, min, max),
    expected: `a whole number from ${min} to ${max}`,
    show: (value) => value,
  };
}

/** A setting in seconds, up to a day, whose value is in milliseconds. */
function seconds(variable: string, defaultValue: number): Setting<number> {
  const row = whole(variable, defaultValue, 0, DAY_S);
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
  return length === 0 ? "none" : length === 1 ? "one key" : `${length} keys`;
}

/** The host as it stands in a URL: an IPv6 address in brackets. */
function authority(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
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
    return name !== undefined && key !== undefined ? [{ name, key }] : [];
  });
  const isWhole = dispatchers.length === text.split(",").length;
  const names = new Set(dispatchers.map(({ name }) => name));
  const keys = new Set(dispatchers.map(({ key }) => key));
  const areTheirOwn = names.size === dispatchers.length && keys.size === dispatchers.length;
  return isWhole && areTheirOwn ? dispatchers : undefined;
}

function parseWebhookUrl(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "") return undefined;
  const isSafe =
    url.protocol === "https:" ||
    (url.protocol === "http:" && LOOPBACK.test(url.hostname.replace(/^\[(.*)\]$/, "$1")));
  return isSafe ? url.href : undefined;
}

function parseWebhookSecret(text: string): Uint8Array | undefined {
  const [, base64 = ""] = /^whsec_([A-Za-z0-9+/]+=*)$/.exec(text) ?? [];
  const bytes = Buffer.from(base64, "base64");
  return bytes.length >= 24 && bytes.length <= 64 ? bytes : undefined;
}

/** Origins as browsers write them: anything else would never be equal to one. */
function parseOrigins(text: string): string[] | undefined {
  const origins = parseList(text, /^https?:/);
  return origins?.every((origin) => URL.parse(origin)?.origin === origin) ? origins : undefined;
}

/** Whether Telegram takes a button to it; one to an http origin is never sent. */
function hasDottedHost(origin: string): boolean {
  const { protocol, hostname } = new URL(origin);
  return protocol === "http:" || /[^.]\.[^.]/.test(hostname);
}

/** The database that the text names; undefined where it is none. */
export function parseDatabaseUrl(text: string): DatabaseConfig | undefined {
  if (/^postgres(ql)?:\/\//.test(text)) {
    const url = URL.parse(text);
    const isWhole = url !== null && url.hostname !== "" && /^\/[^/]+$/.test(url.pathname);
    return isWhole ? { kind: "postgres", url: text } : undefined;
  }
  // Neither a host (file://host/path) nor SQLite's name for a database that ends with the process. bun:sqlite
  // trims the path, so with a space at either end the locked file would be another than the opened one.
  const path = /^file:(?:\/\/(?=\/))?((?!\/\/|:memory:|\s).*[^/\s])$/.exec(text)?.[1];
  return path === undefined ? undefined : { kind: "sqlite", path };
}

function withoutPassword(text: string): string {
  const url = new URL(text);
  return `postgres://${url.host}${url.pathname}`;
}
