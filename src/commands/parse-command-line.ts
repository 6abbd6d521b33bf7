import { parseArgs } from "node:util";
import { type Command, type Options, UsageError } from "./command.ts";

/** A parsed command line. */
export type Request =
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
): Request {
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
