import { symlinkSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");

/** What the crash tests start, made once for all of them. */
export interface Tools {
  /** The service to be killed: victim.ts. */
  readonly victim: string;
  /** The service whose writes are written down: power-cut-victim.ts. */
  readonly powerCutVictim: string;
  /** The library to be preloaded, made of write-log.c; null where there is no C compiler. */
  readonly writeLog: string | null;
}

/** Makes the tools in this folder. */
export async function makeTools(folder: string): Promise<Tools> {
  // The store looks for its migrations two folders above its own.
  symlinkSync(join(ROOT, "drizzle"), join(folder, "drizzle"));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return {
    victim: await buildVictim(folder, "victim"),
    powerCutVictim: await buildVictim(folder, "power-cut-victim"),
    writeLog: compileWriteLog(folder),
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
 * Builds a victim of this name into the folder that has been made by `makeTools`, broken by the mutations,
 * and answers with its path. A sound one starts in a third of the time: it need not be transpiled first.
 */
export async function buildVictim(
  folder: string,
  name: "victim" | "power-cut-victim",
  mutations: readonly Mutation[] = [],
): Promise<string> {
  const victims = join(folder, "built", mutations.length > 0 ? crypto.randomUUID() : "victims");
  const left = new Set(mutations);
  await Bun.build({
    entrypoints: [join(import.meta.dir, `${name}.ts`)],
    outdir: victims,
    target: "bun",
    // Bytecode takes long to make, and a broken victim is started a few times only.
    ...(mutations.length > 0 ? { packages: "external" } : { format: "cjs", bytecode: true }),
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
  return join(victims, `${name}.js`);
}

/** Makes the library to be preloaded; what it does is said in write-log.c. Null where there is no compiler. */
export function compileWriteLog(folder: string): string | null {
  const compiler = Bun.which("cc") ?? Bun.which("gcc");
  if (compiler === null) return null;
  const library = join(folder, "write-log.so");
  const source = join(import.meta.dir, "write-log.c");
  const { exitCode, stderr } = Bun.spawnSync([
    compiler,
    "-shared",
    "-fPIC",
    "-o",
    library,
    source,
    "-ldl",
  ]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  return library;
}
