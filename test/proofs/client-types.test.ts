import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { temporaryFolder } from "../support/process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const ROOT = join(import.meta.dir, "../..");
const API = readFileSync(join(ROOT, "docs/api.md"), "utf8");

const SNIPPET = /```ts\n(.*?)```/s.exec(API)?.[1] ?? "";
const FLAGS = /`tsc (--[^`]+)`/.exec(API)?.[1]?.split(" ") ?? [];

/** Calls that must not compile, with the expected error code. */
const WRONG = [
  ["await api.register.post({ phone_number: 5 });", "TS2322"],
  ["await api.registre.post({});", "TS2551"],
  ["const id: string | undefined = data?.user_id;", "TS2322"],
  ['if (error?.status === 422 && error.value.code === "not_found") throw error;', "TS2367"],
] as const;

test("the TypeScript client in docs/api.md compiles in a separate project, and wrong calls do not", async () => {
  using bot = await createBot();
  const tsc = [process.execPath, join(ROOT, "node_modules/tsc/bin/tsc")];
  const bunInit = ["--target", "esnext", "--module", "preserve", "--lib", "esnext"];
  const [asDocumented, asInBunInit] = await Promise.all([
    complaints(bot.path, [...tsc, "--noEmit", ...FLAGS, "bot.ts"]),
    // Bun's built-in type checker, with the options that `bun init` writes.
    complaints(bot.path, [
      process.execPath,
      "check",
      "--strict",
      ...bunInit,
      "--types",
      "bun-types",
      "bot.ts",
    ]),
  ]);
  const firstLine = SNIPPET.split("\n").length;
  const expected = WRONG.map(([, code], at) => `bot.ts:${firstLine + at} ${code}`);
  expect(asDocumented).toEqual(expected);
  expect(asInBunInit).toEqual(expected);
});

test("client-types: requires exactly one output file", async () => {
  for (const paths of [[], ["a.d.ts", "b.d.ts"]]) {
    const { exitCode, stderr } = Bun.spawnSync(
      [process.execPath, join(ROOT, "scripts/client-types.ts"), ...paths],
      { stderr: "pipe" },
    );
    expect([exitCode, stderr.toString()]).toEqual([
      2,
      "client-types: name the one file to write, such as ../bot/nmservis.d.ts.\n",
    ]);
  }
});

/** Creates a separate project with its own packages. */
async function createBot() {
  const folder = temporaryFolder();
  copyPackages(["@elysiajs/eden", "bun-types"], folder.path);
  const types = join(folder.path, "nmservis.d.ts");
  const run = Bun.spawn([process.execPath, join(ROOT, "scripts/client-types.ts"), types], {
    stdout: "ignore",
  });
  expect(await run.exited).toBe(0);
  const wrong = WRONG.map(([line]) => line).join("\n");
  await Bun.write(join(folder.path, "bot.ts"), `${SNIPPET}${wrong}\n`);
  return folder;
}

/** Copies the packages with their dependencies, as an install would. */
function copyPackages(names: readonly string[], to: string, copied = new Set<string>()) {
  for (const name of names) {
    if (copied.has(name)) continue;
    copied.add(name);
    const from = join(ROOT, "node_modules", name);
    cpSync(from, join(to, "node_modules", name), { recursive: true });
    const { dependencies = {}, peerDependencies = {} } = JSON.parse(
      readFileSync(join(from, "package.json"), "utf8"),
    );
    const needed = Object.keys({ ...dependencies, ...peerDependencies });
    // The optional peers `typescript` and `@types/bun` are not installed here.
    copyPackages(needed.filter(isInstalled), to, copied);
  }
}

function isInstalled(name: string): boolean {
  return existsSync(join(ROOT, "node_modules", name));
}

/** Returns the compiler's errors as "file:line code". */
async function complaints(cwd: string, command: string[]): Promise<string[]> {
  const compiler = Bun.spawn(command, { cwd, stdout: "pipe", stderr: "pipe" });
  const printed = await compiler.stdout.text();
  return Array.from(
    printed.matchAll(/^(\S+)\((\d+),\d+\): error (TS\d+)/gm),
    ([, file, line, code]) => `${file}:${line} ${code}`,
  );
}
