import type { ParseArgsConfig } from "node:util";
import type { Environment } from "../config.ts";
import type { Clock, Fetch } from "../ports.ts";

/** What a command is given of the process. */
export interface Context {
  readonly environment: Environment;
  /** Prints a line of what was asked for, however long the reader takes. */
  readonly print: (line: string) => void;
  /** Writes to stdout the bytes or the first of them; resolves to how many. */
  readonly writeBytes: (bytes: Uint8Array) => Promise<number>;
  /** Whether a person reads stdout. */
  readonly isTerminal: boolean;
  readonly now: Clock;
  /** Ms from any instant on, by a clock that nobody sets. */
  readonly elapsed: Clock;
  readonly fetch: Fetch;
  readonly randomId: () => string;
  /** How this program is started, for a process of its own beside this one. */
  readonly command: readonly string[];
}

export type Options = Readonly<Record<string, string | boolean | undefined>>;

/** One thing that the program can do. */
export interface Command {
  /** What may follow its name, as the help shows it. */
  readonly usage: string;
  /** In a few words. */
  readonly summary: string;
  readonly options?: NonNullable<ParseArgsConfig["options"]>;
  /** How many words it takes that are no options. */
  readonly positionals: number;
  /**
   * Resolves when all is done. Rejects with `UsageError` where the words are wrong, and where the owner can
   * mend it with `InvalidConfig`, `DatabaseUnusable` or `AddressUnavailable`.
   */
  run(context: Context, options: Options, positionals: readonly string[]): Promise<void>;
}

/** The words are wrong; the message says how, in a sentence. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
