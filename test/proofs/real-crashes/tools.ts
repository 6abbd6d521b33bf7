import { mkdtempSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { cachedFolder, hashOf } from "../../support/cache.ts";
import { SOURCES } from "../../support/service-command.ts";

const ROOT = join(import.meta.dir, "../../..");

/** The programs used by the crash tests. */
export interface Tools {
  /** The built service-under-test.ts, which gets killed. */
  readonly service: string;
  /** The built power-cut-service.ts, whose writes are recorded. */
  readonly powerCutService: string;
  /** The library built from write-log.c, for LD_PRELOAD; null without a C compiler. */
  readonly writeLog: string | null;
}

/** Returns the tools, built once per version of the sources. */
export async function makeTools(): Promise<Tools> {
  const sources = hashOf([...SOURCES, "test/proofs/real-crashes", "test/support"]);
  const folder = await cachedFolder("crash-services", sources, async (folder) => {
    await Bun.build({
      entrypoints: ["service-under-test", "power-cut-service"].map((name) => entryOf(name)),
      outdir: join(folder, "built/services"),
      target: "bun",
      format: "cjs",
      bytecode: true,
    });
  });
  return {
    service: join(folder, "built/services/service-under-test.js"),
    powerCutService: join(folder, "built/services/power-cut-service.js"),
    writeLog: await compileWriteLog(),
  };
}

/** A change to a source file that breaks the service. */
export interface Mutation {
  /** Path within src. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/**
 * Builds service-under-test.ts with the mutations applied and returns the path of the bundle in
 * `folder`. Throws if a source file does not contain the text to replace.
 */
export async function buildBrokenService(
  folder: string,
  mutations: readonly Mutation[],
): Promise<string> {
  const root = mkdtempSync(join(folder, "broken-"));
  for (const name of ["drizzle", "node_modules"]) symlinkSync(join(ROOT, name), join(root, name));
  const left = new Set(mutations);
  await Bun.build({
    entrypoints: [entryOf("service-under-test")],
    outdir: join(root, "built/services"),
    target: "bun",
    // Bundling dependencies costs more than it saves for a few starts.
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
  for (const { file, from } of left) throw new Error(`src/${file} does not contain: ${from}`);
  return join(root, "built/services/service-under-test.js");
}

function entryOf(name: string): string {
  return join(import.meta.dir, `${name}.ts`);
}

/** Builds write-log.c and returns the library's path for LD_PRELOAD; null without a C compiler. */
export async function compileWriteLog(): Promise<string | null> {
  const compiler = Bun.which("cc") ?? Bun.which("gcc");
  if (compiler === null) return null;
  const source = "test/proofs/real-crashes/write-log.c";
  const folder = await cachedFolder("write-log", hashOf([source]), (folder) => {
    const library = join(folder, "write-log.so");
    const command = [compiler, "-shared", "-fPIC", "-o", library, join(ROOT, source), "-ldl"];
    const { exitCode, stderr } = Bun.spawnSync(command);
    if (exitCode !== 0) throw new Error(stderr.toString());
  });
  return join(folder, "write-log.so");
}
