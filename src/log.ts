export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What a machine reads of a line beside its words. */
export type Fields = Readonly<Record<string, string | number>>;

/** Lines for the owner, in plain words. A fault is printed whole, with its stack and its causes. */
export interface Log {
  /** Whether lines of this level are printed at all. */
  prints(level: LogLevel): boolean;
  debug(message: string): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fault?: unknown): void;
  error(message: string, fault?: unknown): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** JSON, one object a line, for machines; else plain text for people. */
  readonly json: boolean;
  readonly write: (line: string) => void;
  /** The time in ms since 1970. */
  readonly now: () => number;
}

/** A log of every line at or above the level, with each phone number in it masked. */
export function createLog({ level, json, write, now }: LogOptions): Log {
  const prints = (own: LogLevel) => LOG_LEVELS.indexOf(own) >= LOG_LEVELS.indexOf(level);

  function print(own: LogLevel, message: string, fields?: Fields, fault?: unknown) {
    if (!prints(own)) return;
    const description = fault === undefined ? undefined : describe(fault);
    if (json) {
      const time = new Date(now()).toISOString();
      const line = { time, level: own, message, ...fields, fault: description };
      return write(maskPhoneNumbers(JSON.stringify(line)));
    }
    const prefix = { debug: "", info: "", warn: "Warning: ", error: "Error: " }[own];
    write(maskPhoneNumbers([prefix + message, description].filter(Boolean).join("\n")));
  }

  return {
    prints,
    debug: (message) => print("debug", message),
    info: (message, fields) => print("info", message, fields),
    warn: (message, fault) => print("warn", message, undefined, fault),
    error: (message, fault) => print("error", message, undefined, fault),
  };
}

/**
 * A plus (or what a URL makes of it) and at least six digits, however they are grouped; and twelve
 * digits that begin with the Uzbek 998, which is how providers write a number without the plus.
 */
const PHONE_NUMBER = /(?:\+|%2B)(?:[ ().-]*\d){6,15}|(?<!\d)998(?:[ ().-]*\d){9}(?!\d)/gi;

/**
 * `+998901234567` becomes `+998*****67`: enough for the owner to tell customers apart. It is done to
 * every line, because a provider's error may repeat what it was sent.
 */
export function maskPhoneNumbers(line: string): string {
  return line.replace(PHONE_NUMBER, (number) => `${number.slice(0, 4)}*****${number.slice(-2)}`);
}

/** The fault in a few words, for a line that needs no stack. Never throws, whatever was thrown. */
export function reasonOf(fault: unknown): string {
  try {
    return fault instanceof Error ? String(fault) : Bun.inspect(fault);
  } catch {
    return UNPRINTABLE;
  }
}

const UNPRINTABLE = "a fault that can't be printed";

/** Causes that are printed with a fault: a chain may lead back to itself. */
const MAX_CAUSES = 8;

/** The fault with its stack, and what caused it with theirs. Never throws, whatever was thrown. */
function describe(fault: unknown, causes = MAX_CAUSES): string {
  try {
    if (!(fault instanceof Error)) return Bun.inspect(fault);
    const own = String(fault.stack ?? `${fault.name}: ${fault.message}`);
    if (fault.cause === undefined || causes === 0) return own;
    return `${own}\nCaused by: ${describe(fault.cause, causes - 1)}`;
  } catch {
    return UNPRINTABLE;
  }
}
