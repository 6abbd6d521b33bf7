import { LOG_LEVELS, type LogLevel } from "./log.ts";

/** What the owner can set; README.md has the table. */
export interface Settings {
  readonly host: string;
  readonly port: number;
  /** A path, absolute or from the working directory. */
  readonly databasePath: string;
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

/** A payment that takes longer helps nobody, and a connection may idle for 255 s at most. */
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
  ) {
    const text = environment[name];
    if (text === undefined || text === "") return fallback;
    const value = parse(text);
    if (value === undefined)
      faults.push(`${name} must be ${expected}, not ${JSON.stringify(text)}`);
    return value ?? fallback;
  }
  const whole = (name: string, fallback: number, min: number, max: number) =>
    read(
      name,
      fallback,
      (text) => parseWhole(text, min, max),
      `a whole number from ${min} to ${max}`,
    );

  const settings: Settings = {
    host: read("HOST", "127.0.0.1", (text) => text, "an address"),
    port: whole("PORT", 8000, 0, 65_535),
    databasePath: read(
      "DATABASE_URL",
      "data/nmservis.db",
      parseFileUrl,
      "file: and a path, such as file:data/nmservis.db",
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
  if (faults.length > 0) throw new SettingsRefused(`Wrong settings: ${faults.join("; ")}.`);
  return settings;
}

function parseWhole(text: string, min: number, max: number): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}

function parseFileUrl(text: string): string | undefined {
  // Neither a host (file://host/path) nor SQLite's name for a database that ends with the process.
  return /^file:(?:\/\/(?=\/))?((?!\/\/|:memory:).*[^/])$/.exec(text)?.[1];
}
