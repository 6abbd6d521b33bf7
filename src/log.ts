export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Fields of a JSON log line, in addition to the message. */
type Fields = Readonly<Record<string, string | number>>;

/** A log for the owner. Prints errors with their stack and causes. */
export interface Log {
  /** Returns whether lines of this level are printed. */
  prints(level: LogLevel): boolean;
  debug(message: string): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fault?: unknown): void;
  error(message: string, fault?: unknown): void;
}

interface LogOptions {
  readonly level: LogLevel;
  /** Prints one JSON object per line; otherwise plain text. */
  readonly json: boolean;
  readonly write: (line: string) => void;
  /** The time in ms since 1970. */
  readonly now: () => number;
}

/** Creates a log of the lines at or above the level. Masks phone numbers in every line. */
export function createLog({ level, json, write, now }: LogOptions): Log {
  const printed = new Set(LOG_LEVELS.slice(LOG_LEVELS.indexOf(level)));
  const prints = (own: LogLevel) => printed.has(own);

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
 * Matches a plus (or its URL encoding) and at least six digits, however they are grouped. Also
 * matches twelve digits that begin with the Uzbek country code 998, because some providers omit the
 * plus.
 */
const PHONE_NUMBER = /(?:\+|%2B)(?:[ ().-]*\d){6,15}|(?<!\d)998(?:[ ().-]*\d){9}(?!\d)/gi;

/**
 * Replaces `+998901234567` with `+998*****67`, so that the owner can still tell customers apart.
 * Applied to every line, because a provider's error may quote the number.
 */
export function maskPhoneNumbers(line: string): string {
  return line.replace(PHONE_NUMBER, (number) => `${number.slice(0, 4)}*****${number.slice(-2)}`);
}

/** Describes an error in one line, without its stack. Accepts any thrown value and never throws. */
export function reasonOf(fault: unknown): string {
  try {
    return fault instanceof Error ? String(fault) : Bun.inspect(fault);
  } catch {
    return UNPRINTABLE;
  }
}

/** Logs an outage once, instead of each failed attempt, and its end. */
interface OutageLog {
  /** Logs the error, unless the last attempt failed for the same reason. */
  failed(error: unknown): void;
  /** Logs that attempts succeed again, if the last one failed. */
  succeeded(): void;
}

/**
 * Creates the log of something that is attempted about every second: without it, an outage of an
 * hour would fill the disk with 3,600 stacks. `what` begins the lines.
 */
export function createOutageLog(log: Log, what: string): OutageLog {
  let lastReason: string | undefined;
  return {
    failed(error) {
      const reason = reasonOf(error);
      if (reason !== lastReason) log.error(`${what} failed; retrying until it succeeds.`, error);
      lastReason = reason;
    },
    succeeded() {
      if (lastReason !== undefined) log.info(`${what} succeeds again.`);
      lastReason = undefined;
    },
  };
}

const UNPRINTABLE = "an error that can't be printed";

/** Maximum number of causes to print: a chain may be circular. */
const MAX_CAUSES = 8;

/** Describes an error and its causes, with stacks. Accepts any thrown value and never throws. */
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
