import { cpSync } from "node:fs";
import { join } from "node:path";
import { cachedFolder, hashOf } from "./cache.ts";

const ROOT = join(import.meta.dir, "../..");

/** The program's sources. Changes inside node_modules are not detected. */
export const SOURCES = ["src", "drizzle", "package.json", "bun.lock", "tsconfig.json"];

let command: Promise<readonly string[]> | undefined;

/** The command that starts the program from its sources, as in production. */
export const SOURCE_COMMAND = [process.execPath, join(ROOT, "src/main.ts")] as const;

/** Returns the command that starts the program from a bundle, in a third of the usual time. */
export function serviceCommand(): Promise<readonly string[]> {
  command ??= build();
  return command;
}

async function build(): Promise<readonly string[]> {
  const folder = await cachedFolder(`service-${hashOf(SOURCES)}`, async (folder, path) => {
    // The program looks for its migrations two folders above its own folder.
    cpSync(join(ROOT, "drizzle"), join(folder, "drizzle"), { recursive: true });
    await Bun.build({
      entrypoints: [join(ROOT, "src/main.ts")],
      outdir: join(folder, "built/main"),
      // Absolute, so that the bundle finds its files from any working directory.
      publicPath: join(path, "built/main/"),
      target: "bun",
      format: "cjs",
      bytecode: true,
    });
  });
  return [process.execPath, join(folder, "built/main/main.js")];
}
