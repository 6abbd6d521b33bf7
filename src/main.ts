import { write } from "node:fs";
import { promisify } from "node:util";
import { version } from "../package.json";
import { backup } from "./commands/backup.ts";
import { check } from "./commands/check.ts";
import { type Command, UsageError } from "./commands/command.ts";
import { move } from "./commands/move.ts";
import { orders } from "./commands/orders.ts";
import { helpText, parseCommandLine } from "./commands/parse-command-line.ts";
import { restore } from "./commands/restore.ts";
import { serve } from "./commands/serve.ts";
import { tariffs } from "./commands/tariffs.ts";
import { InvalidConfig } from "./config.ts";
import { createLineWriter } from "./lib/line-writer.ts";
import { AddressUnavailable } from "./server.ts";
import { DatabaseUnusable } from "./store/errors.ts";
import { describeFileFault, systemCode } from "./store/sqlite/file-errors.ts";

const STDOUT = 1;

const EXIT_DONE = 0;
const EXIT_REFUSED = 1;
const EXIT_USAGE = 2;

const COMMANDS = { serve, orders, tariffs, check, backup, restore, move } satisfies Record<
  string,
  Command
>;

// Whatever this process makes is the owner's alone: phone numbers stand in it.
process.umask(0o077);

const writeToStdout = promisify(write);

const writeBytes = async (bytes: Uint8Array) => (await writeToStdout(STDOUT, bytes)).bytesWritten;
const output = createLineWriter(writeBytes, () => {}, Number.POSITIVE_INFINITY);

// No await at the top, which bytecode does not know.
void main();

async function main() {
  try {
    await run();
    await exit(EXIT_DONE);
  } catch (fault) {
    if (fault instanceof UsageError) {
      await exit(EXIT_USAGE, `${fault.message}; nmservis --help shows what there is.`);
    }
    if (!isRefusal(fault)) throw fault;
    await exit(EXIT_REFUSED, fault.message);
  }
}

async function run(): Promise<void> {
  const request = parseCommandLine(process.argv.slice(2), COMMANDS, "serve");
  switch (request.kind) {
    case "help":
      return output.write(helpText(COMMANDS));
    case "version":
      return output.write(`nmservis ${version}`);
    case "run":
      return request.command.run(
        {
          environment: process.env,
          print: output.write,
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
        request.options,
        request.positionals,
      );
  }
}

/** Ends the process, once what it has said is written. */
async function exit(status: number, lastWords?: string): Promise<never> {
  await output.end();
  if (lastWords !== undefined) console.error(`nmservis: ${lastWords}`);
  const fault = output.fault();
  // The reader has closed the pipe, as `head` does: that is no error.
  if (fault === undefined || systemCode(fault) === "EPIPE") return process.exit(status);
  console.error(`nmservis: The output is incomplete: ${describeFileFault(fault)}.`);
  return process.exit(status === EXIT_DONE ? EXIT_REFUSED : status);
}

/** The owner can mend it: a sentence serves better than a stack. */
function isRefusal(fault: unknown): fault is Error {
  return (
    systemCode(fault) !== undefined ||
    [InvalidConfig, DatabaseUnusable, AddressUnavailable].some((kind) => fault instanceof kind)
  );
}
