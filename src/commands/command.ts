import type { ParseArgsConfig } from "node:util";
import type { Environment } from "../config.ts";
import type { Clock, Fetch } from "../ports.ts";

/** The process, as commands see it. */
export interface Context {
  readonly environment: Environment;
  /** Prints a line of the command's output, however slow the reader is. */
  readonly print: (line: string) => void;
  /** Writes some or all of the bytes to stdout; resolves to the number written. */
  readonly writeBytes: (bytes: Uint8Array) => Promise<number>;
  /** Whether stdout is a terminal. */
  readonly isTerminal: boolean;
  readonly now: Clock;
  /** A monotonic clock, in ms. */
  readonly elapsed: Clock;
  readonly fetch: Fetch;
  readonly randomId: () => string;
  /** The command line that starts this program, for child processes. */
  readonly command: readonly string[];
}

export type Options = Readonly<Record<string, string | boolean | undefined>>;

/**
 * Runs a command; resolves when it has finished. Rejects with `UsageError` if the arguments are
 * invalid, and with `InvalidConfig`, `DatabaseUnusable` or `AddressUnavailable` if the owner can fix
 * the problem.
 */
export type RunCommand = (
  context: Context,
  options: Options,
  positionals: readonly string[],
) => Promise<void>;

/** A command's description. Its code is loaded when it runs. */
export interface Command {
  /** The arguments, as shown in the help. */
  readonly usage: string;
  readonly summary: string;
  readonly options?: NonNullable<ParseArgsConfig["options"]>;
  /** Number of positional arguments. */
  readonly positionals: number;
  readonly load: () => Promise<RunCommand>;
}

/** The arguments are invalid. The message says why. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
