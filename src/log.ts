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
    write(maskPhoneNumbers(fault === undefined ? message : `${message} ${Bun.inspect(fault)}`));
  }
  return {
    info: (message) => print("info", message),
    warn: (message, fault) => print("warn", `Warning: ${message}`, fault),
    error: (message, fault) => print("error", `Error: ${message}`, fault),
  };
}

/** E.164 numbers, and Uzbek ones also as providers write them, without the plus. */
const PHONE_NUMBER = /(\+\d{3}|\b998)\d{3,10}(\d\d)\b/g;

/**
 * `+998901234567` becomes `+998*****67`: enough for the owner to tell customers apart. It is done to
 * every line, because a provider's error may repeat what it was sent.
 */
function maskPhoneNumbers(line: string): string {
  return line.replace(PHONE_NUMBER, "$1*****$2");
}
