import { cpSync, mkdtempSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { cachedFolder, hashOf } from "../../support/cache.ts";
import { SOURCES } from "../../support/service-command.ts";

const ROOT = join(import.meta.dir, "../../..");

/** The programs that the crash tests start. */
export interface Tools {
  /** The service to be killed: victim.ts. */
  readonly victim: string;
  /** The service whose writes are recorded: power-cut-victim.ts. */
  readonly powerCutVictim: string;
  /** The library to preload, built from write-log.c; null if there is no C compiler. */
  readonly writeLog: string | null;
}

/** Returns the tools, which are built once for the same sources. */
export async function makeTools(): Promise<Tools> {
  const name = `crash-victims-${hashOf([...SOURCES, "test/proofs/crash", "test/support"])}`;
  const folder = await cachedFolder(name, async (folder) => {
    // The store looks for its migrations two folders above its own.
    cpSync(join(ROOT, "drizzle"), join(folder, "drizzle"), { recursive: true });
    await Bun.build({
      entrypoints: ["victim", "power-cut-victim"].map((victim) => entryOf(victim)),
      outdir: join(folder, "built/victims"),
      target: "bun",
      format: "cjs",
      bytecode: true,
    });
  });
  return {
    victim: join(folder, "built/victims/victim.js"),
    powerCutVictim: join(folder, "built/victims/power-cut-victim.js"),
    writeLog: await compileWriteLog(),
  };
}

/** A change to a source of the service that breaks it. */
export interface Mutation {
  /** The source's path in src. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/**
 * Builds victim.ts into this folder with the service broken by the mutations, and returns its path. Throws
 * if a source does not contain the text to replace.
 */
export async function buildBrokenVictim(
  folder: string,
  mutations: readonly Mutation[],
): Promise<string> {
  const root = mkdtempSync(join(folder, "broken-"));
  for (const name of ["drizzle", "node_modules"]) symlinkSync(join(ROOT, name), join(root, name));
  const left = new Set(mutations);
  await Bun.build({
    entrypoints: [entryOf("victim")],
    outdir: join(root, "built/victims"),
    target: "bun",
    // Faster than a bundle of everything for something that starts a few times only.
    packages: "external",
    plugins: [
      {
        name: "mutations",
        setup(build) {
          build.onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => {
            let contents = await Bun.file(path).text();
            for (const mutation of mutations.filter(({ file }) => path.endsWith(`/src/${file}`))) {
              if (contents.includes(mutation.from)) left.delete(mutation);
              contents = contents.replace(mutation.from, () => mutation.to);
            }
            return { contents, loader: "ts" };
          });
        },
      },
    ],
  });
  for (const { file, from } of left) throw new Error(`${file} has nothing like: ${from}`);
  return join(root, "built/victims/victim.js");
}

function entryOf(name: string): string {
  return join(import.meta.dir, `${name}.ts`);
}

/** Returns the library built from write-log.c, to be preloaded; null if there is no C compiler. */
export async function compileWriteLog(): Promise<string | null> {
  const compiler = Bun.which("cc") ?? Bun.which("gcc");
  if (compiler === null) return null;
  const source = "test/proofs/crash/write-log.c";
  const folder = await cachedFolder(`write-log-${hashOf([source])}`, (folder) => {
    const library = join(folder, "write-log.so");
    const command = [compiler, "-shared", "-fPIC", "-o", library, join(ROOT, source), "-ldl"];
    const { exitCode, stderr } = Bun.spawnSync(command);
    if (exitCode !== 0) throw new Error(stderr.toString());
  });
  return join(folder, "write-log.so");
}
