import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Environment } from "../config.ts";
import type { Clock, Fetch } from "../ports.ts";

/** The process, as commands see it. */
export interface Context {
  readonly environment: Environment;
  /** Prints a line of the command's output, however slow the reader is. */
  readonly print: (line: string) => void;
  /** Resolves when all printed lines are written, or lost because the reader is gone. */
  readonly written: () => Promise<void>;
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

type Options = Readonly<Record<string, string | boolean | undefined>>;

/**
 * Runs a command; resolves when it has finished. Rejects with `UsageError` if the arguments are
 * invalid, and with `InvalidConfig`, `DatabaseUnusable` or `AddressUnavailable` if the owner can
 * fix the problem.
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

/** A parsed command line. */
type CommandLine =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | {
      readonly kind: "run";
      readonly command: Command;
      readonly options: Options;
      readonly positionals: readonly string[];
    };

/** Parses the arguments after the program's name. Throws `UsageError`. */
export function parseCommandLine(
  args: readonly string[],
  commands: Readonly<Record<string, Command>>,
  defaultCommand: string,
): CommandLine {
  const [first = defaultCommand, ...rest] = args;
  if (args.includes("--help") || args.includes("-h")) return { kind: "help" };
  if (first === "--version") return { kind: "version" };
  const command = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (command === undefined) throw new UsageError(`unknown command ${first}`);
  const { values, positionals } = parse(first, command, rest);
  // bun:sqlite trims file names, and opens an in-memory database for an empty one.
  const areNames = positionals.every((name) => name !== "" && name === name.trim());
  if (positionals.length !== command.positionals || !areNames) {
    throw new UsageError(`usage: nmservis ${first} ${command.usage}`.trimEnd());
  }
  return { kind: "run", command, options: values, positionals };
}

function parse(name: string, { options = {} }: Command, args: string[]) {
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    // `as`: no option is `multiple`, so no value is an array.
    return { values: values as Options, positionals };
  } catch (error) {
    // Only the first sentence states the problem.
    const [reason] = (error instanceof Error ? error.message : "").split(/\. |\n/);
    throw new UsageError(`${name}: ${reason}`);
  }
}

/** Returns the help, with a line for each command. */
export function helpText(commands: Readonly<Record<string, Command>>): string {
  const rows = Object.entries(commands).map(([name, { usage, summary }]) => ({
    syntax: `${name} ${usage}`.trimEnd(),
    summary,
  }));
  const width = Math.max(...rows.map(({ syntax }) => syntax.length));
  return [
    "nmservis: order backend for the NoMus bot. The default command is serve.",
    "",
    ...rows.map(({ syntax, summary }) => `  nmservis ${syntax.padEnd(width)}  ${summary}`),
    "",
    "Settings are environment variables; see docs/configuration.md.",
    "Exit status: 0 success, 1 refused or damaged, 2 usage error.",
  ].join("\n");
}
