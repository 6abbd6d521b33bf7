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
  const victims = join(folder, "built", "victims");
  // A victim starts in a third of the time when it need not be transpiled and parsed first.
  await Bun.build({
    entrypoints: ["victim.ts", "power-cut-victim.ts"].map((name) => join(import.meta.dir, name)),
    outdir: victims,
    target: "bun",
    format: "cjs",
    bytecode: true,
  });
  return {
    victim: join(victims, "victim.js"),
    powerCutVictim: join(victims, "power-cut-victim.js"),
    writeLog: compileWriteLog(folder),
  };
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
