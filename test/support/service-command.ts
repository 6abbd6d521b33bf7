import { join } from "node:path";
import { cachedFolder, hashOf } from "./cache.ts";

const ROOT = join(import.meta.dir, "../..");

const NAME = "nmservis";

/** The program's sources. Changes inside node_modules are not detected. */
export const SOURCES = ["src", "drizzle", "package.json", "bun.lock", "tsconfig.json"];

/** Executables of older sources have 120 MB each, and a run of the tests takes minutes. */
const KEPT_MS = 15 * 60_000;

let command: Promise<readonly string[]> | undefined;

/** The command that starts the program from its sources, as `bun run start` does. */
export const SOURCE_COMMAND = [process.execPath, join(ROOT, "src/main.ts")] as const;

/** Returns the command that starts the built executable, in a third of the usual time. */
export function serviceCommand(): Promise<readonly string[]> {
  command ??= build();
  return command;
}

async function build(): Promise<readonly string[]> {
  const folder = await cachedFolder("executable", hashOf(SOURCES), buildIn, KEPT_MS);
  return [join(folder, NAME)];
}

function buildIn(folder: string) {
  // The second --outfile wins, so dist/ stays unchanged.
  const words = ["run", "--silent", "build", "--outfile", join(folder, NAME)];
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, ...words], { cwd: ROOT });
  if (exitCode !== 0) throw new Error(`The build failed: ${stderr}`);
}
