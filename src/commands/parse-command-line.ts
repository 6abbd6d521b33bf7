import { parseArgs } from "node:util";
import { type Command, type Options, UsageError } from "./command.ts";

/** What the words of the command line ask for. */
export type Request =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | {
      readonly kind: "run";
      readonly command: Command;
      readonly options: Options;
      readonly positionals: readonly string[];
    };

/** Reads the words after the program's name; without any they ask for `defaultValue`. Throws `UsageError`. */
export function parseCommandLine(
  words: readonly string[],
  commands: Readonly<Record<string, Command>>,
  defaultValue: string,
): Request {
  const [first = defaultValue, ...rest] = words;
  if (words.includes("--help") || words.includes("-h")) return { kind: "help" };
  if (first === "--version") return { kind: "version" };
  const command = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (command === undefined) throw new UsageError(`there is no command ${first}`);
  const { values, positionals } = parse(first, command, rest);
  // bun:sqlite trims file names, and opens an in-memory database for an empty one.
  const areNames = positionals.every((word) => word !== "" && word === word.trim());
  if (positionals.length !== command.positionals || !areNames) {
    throw new UsageError(`usage: nmservis ${first} ${command.usage}`.trimEnd());
  }
  return { kind: "run", command, options: values, positionals };
}

function parse(name: string, { options = {} }: Command, args: string[]) {
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    // `as`: no option may be given more than once, so none is a list.
    return { values: values as Options, positionals };
  } catch (error) {
    // Of several sentences the first says what is wrong.
    const [reason] = (error instanceof Error ? error.message : "").split(/\. |\n/);
    throw new UsageError(`${name}: ${reason}`);
  }
}

/** What the program can do, in a line for each command. */
export function helpText(commands: Readonly<Record<string, Command>>): string {
  const rows = Object.entries(commands).map(([name, { usage, summary }]) => ({
    words: `${name} ${usage}`.trimEnd(),
    summary,
  }));
  const width = Math.max(...rows.map(({ words }) => words.length));
  return [
    "nmservis takes orders of the NoMus bot. Without a command it serves.",
    "",
    ...rows.map(({ words, summary }) => `  nmservis ${words.padEnd(width)}  ${summary}`),
    "",
    "Settings are environment variables; see docs/configuration.md.",
    "Exit status: 0 done, 1 refused or damaged, 2 wrong words.",
  ].join("\n");
}
