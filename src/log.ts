export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Lines for the owner, in plain words. A fault is printed whole, with its stack and its causes. */
export interface Log {
  info(message: string): void;
  warn(message: string, fault?: unknown): void;
  error(message: string, fault?: unknown): void;
}

/** A log that hands every line at or above `level` to `write`, each phone number in it masked. */
export function createLog(level: LogLevel, write: (line: string) => void): Log {
  const threshold = LOG_LEVELS.indexOf(level);
  function print(own: LogLevel, message: string, fault?: unknown) {
    if (LOG_LEVELS.indexOf(own) < threshold) return;
    write(maskPhoneNumbers(fault === undefined ? message : `${message}\n${describe(fault)}`));
  }
  return {
    info: (message) => print("info", message),
    warn: (message, fault) => print("warn", `Warning: ${message}`, fault),
    error: (message, fault) => print("error", `Error: ${message}`, fault),
  };
}

/**
 * A plus (or what a URL makes of it) and at least six digits, however they are grouped; and twelve
 * digits that begin with the Uzbek 998, which is how providers write a number without the plus.
 */
const PHONE_NUMBER = /(?:\+|%2B)(?:[ ().-]*\d){6,15}|(?<!\d)998(?:[ ().-]*\d){9}(?!\d)/g;

/**
 * `+998901234567` becomes `+998*****67`: enough for the owner to tell customers apart. It is done to
 * every line, because a provider's error may repeat what it was sent.
 */
function maskPhoneNumbers(line: string): string {
  return line.replace(PHONE_NUMBER, (number) => `${number.slice(0, 4)}*****${number.slice(-2)}`);
}

/** The fault with its stack, and what caused it with theirs. */
function describe(fault: unknown): string {
  if (!(fault instanceof Error)) return Bun.inspect(fault);
  const own = fault.stack ?? `${fault.name}: ${fault.message}`;
  return fault.cause === undefined ? own : `${own}\nCaused by: ${describe(fault.cause)}`;
}
