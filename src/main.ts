import { write } from "node:fs";
import { promisify } from "node:util";
import { version } from "../package.json";
import { type Command, UsageError, helpText, parseCommandLine } from "./commands/command.ts";
import { InvalidConfig } from "./config.ts";
import { createLineWriter } from "./lib/line-writer.ts";
import { AddressUnavailable } from "./errors.ts";
import { DatabaseUnusable, describeFileError, systemCode } from "./store/errors.ts";

/** How many orders `nmservis orders` shows by default. */
const DEFAULT_LAST = 20;

/** All commands. Each loads its code when it runs, so that `--help` loads none of it. */
const COMMANDS = {
  serve: {
    usage: "",
    summary: "serves requests; creates the database if needed",
    positionals: 0,
    load: async () => (await import("./commands/serve.ts")).serve,
  },
  orders: {
    usage: "[--status STATUS] [--last N] [--json]",
    summary: `shows the newest orders (default: ${DEFAULT_LAST})`,
    options: {
      status: { type: "string" },
      last: { type: "string", default: String(DEFAULT_LAST) },
      json: { type: "boolean" },
    },
    positionals: 0,
    load: async () => (await import("./commands/orders.ts")).orders,
  },
  tariffs: {
    usage: "",
    summary: "shows the tariffs and their prices",
    positionals: 0,
    load: async () => (await import("./commands/tariffs.ts")).tariffs,
  },
  "sign-in-link": {
    usage: "NAME",
    summary: "prints a one-time link and QR code that sign a dispatcher in",
    positionals: 1,
    load: async () => (await import("./commands/sign-in-link.ts")).signInLink,
  },
  check: {
    usage: "",
    summary: "verifies the database and counts unfinished orders",
    positionals: 0,
    load: async () => (await import("./commands/check.ts")).check,
  },
  backup: {
    usage: "FILE",
    summary: "copies the database to a new file, even while the service runs",
    positionals: 1,
    load: async () => (await import("./commands/backup.ts")).backup,
  },
  restore: {
    usage: "FILE",
    summary: "replaces the database with a backup, and keeps the old one",
    positionals: 1,
    load: async () => (await import("./commands/restore.ts")).restore,
  },
  move: {
    usage: "--to postgres://user:password@host/database",
    summary: "copies the SQLite database into an empty PostgreSQL database",
    options: { to: { type: "string" } },
    positionals: 0,
    load: async () => (await import("./commands/move.ts")).move,
  },
} as const satisfies Record<string, Command>;

const STDOUT = 1;

const EXIT_DONE = 0;
const EXIT_REFUSED = 1;
const EXIT_USAGE = 2;

// Makes new files accessible to the owner only: they contain phone numbers.
process.umask(0o077);

const writeToStdout = promisify(write);

const writeBytes = async (bytes: Uint8Array) => (await writeToStdout(STDOUT, bytes)).bytesWritten;
const output = createLineWriter(writeBytes, () => {}, Number.POSITIVE_INFINITY);

// No top-level await: bytecode does not support it.
void main();

async function main() {
  try {
    await run();
    await exit(EXIT_DONE);
  } catch (error) {
    if (error instanceof UsageError) {
      await exit(EXIT_USAGE, `${error.message}; see nmservis --help.`);
    }
    if (!isOwnersError(error)) throw error;
    await exit(EXIT_REFUSED, error.message);
  }
}

async function run(): Promise<void> {
  const line = parseCommandLine(process.argv.slice(2), COMMANDS, "serve");
  switch (line.kind) {
    case "help":
      return output.write(helpText(COMMANDS));
    case "version":
      return output.write(`nmservis ${version}`);
    case "run": {
      const runCommand = await line.command.load();
      return runCommand(
        {
          environment: process.env,
          print: output.write,
          written: output.end,
          writeBytes,
          isTerminal: process.stdout.isTTY,
          now: Date.now,
          elapsed: () => performance.now(),
          fetch: (url, init) => fetch(url, init),
          randomId: () => crypto.randomUUID(),
          command: Bun.isStandaloneExecutable
            ? [process.execPath]
            : [process.execPath, import.meta.path],
        },
        line.options,
        line.positionals,
      );
    }
  }
}

/** Ends the process once all output is written. */
async function exit(status: number, message?: string): Promise<never> {
  await output.end();
  if (message !== undefined) console.error(`nmservis: ${message}`);
  const error = output.fault();
  // EPIPE: the reader, such as `head`, has closed the pipe. That is not an error.
  if (error === undefined || systemCode(error) === "EPIPE") return process.exit(status);
  console.error(`nmservis: The output is incomplete: ${describeFileError(error)}.`);
  return process.exit(status === EXIT_DONE ? EXIT_REFUSED : status);
}

/** Returns whether the owner can fix the problem. If so, the message is enough, without a stack. */
function isOwnersError(error: unknown): error is Error {
  return (
    systemCode(error) !== undefined ||
    [InvalidConfig, DatabaseUnusable, AddressUnavailable].some((kind) => error instanceof kind)
  );
}
