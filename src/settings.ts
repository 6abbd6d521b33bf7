import { LOG_LEVELS, type LogLevel } from "./log.ts";

/** What the owner can set; README.md has the table. */
export interface Settings {
  readonly host: string;
  readonly port: number;
  /** A path, absolute or from the working directory. */
  readonly databasePath: string;
  /** The clients' keys; without any, everybody may do everything. */
  readonly apiKeys: readonly string[];
  /** The owner's keys. */
  readonly adminApiKeys: readonly string[];
  /** The names that are served; null for any. */
  readonly allowedHosts: readonly string[] | null;
  readonly paymentTimeoutMs: number;
  readonly paymentStubDelayMs: number;
  readonly orderRepeatWindowMs: number;
  readonly smsCooldownMs: number;
  readonly logLevel: LogLevel;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Settings are wrong; the message names every fault. */
export class SettingsRefused extends Error {
  override readonly name = "SettingsRefused";
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i;
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];

/** What a header can hold, and no comma, which parts one key from the next. */
const KEY = /^[!-+\--~]+$/;

const HOST_NAME = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d+)?$/i;

/** A payment that takes longer helps nobody, and a connection may be silent for 255 s at most. */
const MAX_TIMEOUT_MS = 120_000;
const DAY_S = 86_400;

/** Reads the settings; what is absent or empty has its default. Throws `SettingsRefused`. */
export function readSettings(environment: Environment): Settings {
  const faults: string[] = [];

  function read<T>(
    name: string,
    fallback: T,
    parse: (text: string) => T | undefined,
    expected: string,
    isSecret = false,
  ): T {
    const text = environment[name];
    if (text === undefined || text === "") return fallback;
    const value = parse(text);
    if (value === undefined) {
      faults.push(`${name} must be ${expected}${isSecret ? "" : `, not ${JSON.stringify(text)}`}`);
    }
    return value ?? fallback;
  }
  const whole = (name: string, fallback: number, min: number, max: number) =>
    read(
      name,
      fallback,
      (text) => parseWhole(text, min, max),
      `a whole number from ${min} to ${max}`,
    );
  const keys = (name: string) =>
    read<string[]>(
      name,
      [],
      (text) => parseList(text, KEY),
      "one or more keys of visible ASCII characters, comma-separated",
      true,
    );

  const host = read("HOST", "127.0.0.1", (text) => text.trim() || undefined, "an address");
  const isLoopback = LOOPBACK.test(host);
  const settings: Settings = {
    host: host.replace(/^\[(.*)\]$/, "$1"),
    port: whole("PORT", 8000, 0, 65_535),
    databasePath: read(
      "DATABASE_URL",
      "data/nmservis.db",
      parseFileUrl,
      "file: and a path, such as file:data/nmservis.db",
    ),
    apiKeys: keys("API_KEY"),
    adminApiKeys: keys("ADMIN_API_KEY"),
    allowedHosts: read<readonly string[] | null>(
      "ALLOWED_HOSTS",
      isLoopback ? [...new Set([...LOOPBACK_NAMES, authority(host)])] : null,
      (text) => parseList(text, HOST_NAME),
      "one or more host names, comma-separated",
    ),
    paymentTimeoutMs: whole("PAYMENT_TIMEOUT_MS", 8000, 1, MAX_TIMEOUT_MS),
    paymentStubDelayMs: whole("PAYMENT_STUB_DELAY_MS", 1000, 0, MAX_TIMEOUT_MS),
    orderRepeatWindowMs: whole("ORDER_REPEAT_WINDOW_S", 120, 0, DAY_S) * 1000,
    smsCooldownMs: whole("SMS_COOLDOWN_S", 60, 0, DAY_S) * 1000,
    logLevel: read(
      "LOG_LEVEL",
      "info",
      (text) => LOG_LEVELS.find((level) => level === text),
      `one of ${LOG_LEVELS.join(", ")}`,
    ),
  };

  if (environment["ADMIN_API_KEY"] && !environment["API_KEY"]) {
    faults.push("ADMIN_API_KEY needs API_KEY beside it: without that, everything is open");
  }
  if (settings.adminApiKeys.some((key) => settings.apiKeys.includes(key))) {
    faults.push("ADMIN_API_KEY and API_KEY must not have a key in common");
  }
  if (!isLoopback && !environment["API_KEY"]) {
    faults.push(
      `HOST must be a loopback address, such as 127.0.0.1, as long as there is no API_KEY`,
    );
  }
  if (faults.length > 0) throw new SettingsRefused(`Wrong settings: ${faults.join("; ")}.`);
  return settings;
}

/** The settings in force, by the names of their variables, with no key among them. */
export function describeSettings(settings: Settings): Record<string, string | number> {
  return {
    HOST: settings.host,
    PORT: settings.port,
    DATABASE_URL: `file:${settings.databasePath}`,
    API_KEY: countKeys(settings.apiKeys),
    ADMIN_API_KEY: countKeys(settings.adminApiKeys),
    ALLOWED_HOSTS: settings.allowedHosts?.join(",") ?? "any",
    PAYMENT_TIMEOUT_MS: settings.paymentTimeoutMs,
    PAYMENT_STUB_DELAY_MS: settings.paymentStubDelayMs,
    ORDER_REPEAT_WINDOW_S: settings.orderRepeatWindowMs / 1000,
    SMS_COOLDOWN_S: settings.smsCooldownMs / 1000,
    LOG_LEVEL: settings.logLevel,
  };
}

/** The host as it stands in a URL: an IPv6 address in brackets. */
function authority(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

function countKeys(keys: readonly string[]): string {
  return keys.length === 0 ? "none" : keys.length === 1 ? "one key" : `${keys.length} keys`;
}

function parseWhole(text: string, min: number, max: number): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}

function parseList(text: string, item: RegExp): string[] | undefined {
  const items = text.split(",").map((one) => one.trim());
  return items.every((one) => item.test(one)) ? items : undefined;
}

function parseFileUrl(text: string): string | undefined {
  // Neither a host (file://host/path) nor SQLite's name for a database that ends with the process.
  return /^file:(?:\/\/(?=\/))?((?!\/\/|:memory:).*[^/])$/.exec(text)?.[1];
}
