import { cpSync } from "node:fs";
import { join } from "node:path";
import { cachedFolder, hashOf } from "./cache.ts";

const ROOT = join(import.meta.dir, "../..");

/** All that the program is made of. A change inside node_modules goes unnoticed. */
export const SOURCES = ["src", "drizzle", "package.json", "bun.lock", "tsconfig.json"];

let command: Promise<readonly string[]> | undefined;

/** The command that starts the program as an owner does, from its sources. */
export const SOURCE_COMMAND = [process.execPath, join(ROOT, "src/main.ts")] as const;

/** Returns the command that starts the program from a bundle, in a third of the time. */
export function serviceCommand(): Promise<readonly string[]> {
  command ??= build();
  return command;
}

async function build(): Promise<readonly string[]> {
  const folder = await cachedFolder(`service-${hashOf(SOURCES)}`, async (folder, path) => {
    // The program looks for its migrations two folders above its own.
    cpSync(join(ROOT, "drizzle"), join(folder, "drizzle"), { recursive: true });
    await Bun.build({
      entrypoints: [join(ROOT, "src/main.ts")],
      outdir: join(folder, "built/main"),
      // The bundle finds its files wherever it is started.
      publicPath: join(path, "built/main/"),
      target: "bun",
      format: "cjs",
      bytecode: true,
    });
  });
  return [process.execPath, join(folder, "built/main/main.js")];
}
