import { join } from "node:path";
import { cachedFolder, hashOf, markAsUsed } from "./cache.ts";

const ROOT = join(import.meta.dir, "../..");

const NAME = "nmservis";

/** The program's sources. Changes inside node_modules are not detected. */
export const SOURCES = ["src", "drizzle", "package.json", "bun.lock", "tsconfig.json"];

/** Executables of older sources have 120 MB each, and a run of the tests takes minutes. */
const KEPT_MS = 15 * 60_000;

let built: Promise<string> | undefined;

/** The command that starts the program from its sources, as `bun run start` does. */
export const SOURCE_COMMAND = [process.execPath, join(ROOT, "src/main.ts")] as const;

/** Returns the command that starts the built executable, in a third of the usual time. */
export async function serviceCommand(): Promise<readonly string[]> {
  built ??= cachedFolder("executable", hashOf(SOURCES), buildIn, KEPT_MS);
  const folder = await built;
  // A long run must not lose it.
  markAsUsed(folder);
  return [join(folder, NAME)];
}

function buildIn(folder: string) {
  // The second --outfile wins, so dist/ stays unchanged.
  const words = ["run", "--silent", "build", "--outfile", join(folder, NAME)];
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, ...words], { cwd: ROOT });
  if (exitCode !== 0) throw new Error(`The build failed: ${stderr}`);
}
