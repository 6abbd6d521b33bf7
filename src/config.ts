import { LOOPBACK, type Setting, SETTINGS } from "./settings.ts";

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];

type ValueOf<Row> = Row extends { readonly defaultValue: infer Value } ? Value : never;

/** The values of all settings. */
export type Config = {
  readonly [Name in keyof typeof SETTINGS]: ValueOf<(typeof SETTINGS)[Name]>;
};

// `as`: each row's `show` only gets values that its own `parse` returned.
const ROWS = Object.entries(SETTINGS) as [keyof Config, Setting<unknown>][];

export type Environment = Readonly<Record<string, string | undefined>>;

/** The config is invalid. The message lists every problem. */
export class InvalidConfig extends Error {
  override readonly name = "InvalidConfig";
}

/** Reads the config. Absent or empty variables get their default. Throws `InvalidConfig`. */
export function readConfig(environment: Environment): Config {
  const problems: string[] = [];
  const config = readRows(environment, ROWS, problems);

  const isLoopback = LOOPBACK.test(config.host);
  if (environment["ADMIN_API_KEY"] && !environment["API_KEY"]) {
    problems.push("ADMIN_API_KEY needs API_KEY: without it, there is no authentication");
  }
  if (config.adminApiKeys.some((key) => config.apiKeys.includes(key))) {
    problems.push("ADMIN_API_KEY and API_KEY must not have a key in common");
  }
  if (environment["DISPATCHERS"] && !environment["API_KEY"]) {
    problems.push("DISPATCHERS needs API_KEY: without it, anyone can use the board");
  }
  if (!environment["TELEGRAM_BOT_TOKEN"] !== !environment["TELEGRAM_DISPATCH_CHAT_ID"]) {
    problems.push("TELEGRAM_BOT_TOKEN and TELEGRAM_DISPATCH_CHAT_ID must be set together");
  }
  const hasTelegram = environment["TELEGRAM_BOT_TOKEN"] && environment["TELEGRAM_DISPATCH_CHAT_ID"];
  if (environment["TELEGRAM_DISPATCH_THREAD_ID"] && !hasTelegram) {
    problems.push(
      "TELEGRAM_DISPATCH_THREAD_ID needs TELEGRAM_BOT_TOKEN and TELEGRAM_DISPATCH_CHAT_ID",
    );
  }
  if (hasTelegram && config.publicUrl !== null && !hasDottedHost(config.publicUrl)) {
    problems.push(
      `PUBLIC_URL must have a dot in its host name, such as https://orders.example.uz, not ` +
        `"${config.publicUrl}": Telegram rejects buttons to other hosts`,
    );
  }
  if (!environment["WEBHOOK_URL"] !== !environment["WEBHOOK_SECRET"]) {
    problems.push("WEBHOOK_URL and WEBHOOK_SECRET must be set together");
  }
  if (!isLoopback && !environment["API_KEY"]) {
    problems.push("HOST must be a loopback address, such as 127.0.0.1, unless API_KEY is set");
  }
  if (problems.length > 0) throw new InvalidConfig(`Invalid settings: ${problems.join("; ")}.`);
  if (config.allowedHosts !== null || !isLoopback) return config;
  return { ...config, allowedHosts: [...new Set([...LOOPBACK_NAMES, authority(config.host)])] };
}

/** Reads only these settings, even if others are invalid. Throws `InvalidConfig`. */
export function readSettings<Name extends keyof Config>(
  environment: Environment,
  names: readonly Name[],
): Pick<Config, Name> {
  const problems: string[] = [];
  const wanted: readonly string[] = names;
  const rows = ROWS.filter(([name]) => wanted.includes(name));
  const settings = readRows(environment, rows, problems);
  if (problems.length > 0) throw new InvalidConfig(`Invalid settings: ${problems.join("; ")}.`);
  return settings;
}

function readRows(environment: Environment, rows: typeof ROWS, problems: string[]): Config {
  function read<Value>(row: Setting<Value>): Value {
    const { variable, defaultValue, parse, expected, isSecret } = row;
    const text = environment[variable];
    if (text === undefined || text === "") return defaultValue;
    const value = parse(text);
    if (value === undefined) {
      problems.push(
        `${variable} must be ${expected}${isSecret ? "" : `, not ${JSON.stringify(text)}`}`,
      );
    }
    return value ?? defaultValue;
  }
  const values = rows.map(([name, row]) => [name, read(row)]);
  // `as`: each name has its own row's value, and callers only read the requested names.
  return Object.fromEntries(values) as Config;
}

/** Returns the settings by variable name, without secrets. */
export function describeConfig(config: Config): Record<string, string | number> {
  return Object.fromEntries(ROWS.map(([name, row]) => [row.variable, row.show(config[name])]));
}

/** Formats a host for a URL: puts an IPv6 address in brackets. */
export function authority(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/**
 * Returns false if Telegram would reject a button to the origin. Returns true for http origins,
 * because buttons to them are never sent.
 */
function hasDottedHost(origin: string): boolean {
  const { protocol, hostname } = new URL(origin);
  return protocol === "http:" || /[^.]\.[^.]/.test(hostname);
}
