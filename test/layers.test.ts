import { describe, expect, test } from "bun:test";
import { copyFileSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { engines, packageManager, scripts } from "../package.json";
import { temporaryFolder } from "./support/process.ts";

const ROOT = join(import.meta.dir, "..");
const SRC = join(ROOT, "src");

/** From the top to the bottom: a file imports from layers below its own, or from its own folder. */
const LAYERS = [
  ["main.ts"],
  ["commands"],
  ["server.ts"],
  ["app.ts"],
  ["board"],
  ["users", "orders", "tariffs", "health"],
  ["http", "store", "adapters"],
  ["ports.ts", "config.ts"],
  [
    "errors.ts",
    "format.ts",
    "log.ts",
    "metrics.ts",
    "line-writer.ts",
    "with-timeout.ts",
    "task-queue.ts",
    "rate-limit.ts",
    "pause.ts",
  ],
  ["request-durations.ts"],
];

const sources = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))
  .map((path) => ({ path, text: readFileSync(join(SRC, path), "utf8") }));

const moduleOf = (path: string) => path.split("/")[0] ?? path;
const layerOf = (path: string) => LAYERS.findIndex((modules) => modules.includes(moduleOf(path)));

function importsOf({ path, text }: { path: string; text: string }): string[] {
  const specifiers = Array.from(
    text.matchAll(/from "(\.[^"]+\.ts)"/g),
    ([, specifier]) => specifier,
  );
  return specifiers.map((specifier) => relative(SRC, join(SRC, dirname(path), specifier ?? "")));
}

describe("the source", () => {
  test("has a layer for every file", () => {
    expect(sources.map(({ path }) => path).filter((path) => layerOf(path) === -1)).toEqual([]);
  });

  test("imports only from lower layers, or from the same folder", () => {
    const wrong = sources.flatMap((source) =>
      importsOf(source)
        .filter((imported) => moduleOf(imported) !== moduleOf(source.path))
        .filter((imported) => layerOf(imported) <= layerOf(source.path))
        .map((imported) => `${source.path} imports ${imported}`),
    );
    expect(wrong).toEqual([]);
  });

  test.each([
    ["the environment", /process\.env|Bun\.env/, ["main.ts"]],
    ["the clock", /Date\.now|new Date\(\)|performance\.now/, ["main.ts"]],
    ["randomness", /Math\.random|crypto\./, ["main.ts"]],
    ["fetch", /(?<!\.)\bfetch\(/, ["main.ts"]],
    [
      "a transaction",
      /"(BEGIN|COMMIT)|\.transaction\(/,
      ["store/database-lock.ts", "store/group-commit.ts", "store/migrations.ts"],
    ],
  ])("has one home for %s", (_what, pattern, homes) => {
    const found = sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
    expect(found.toSorted()).toEqual(homes);
  });

  // The linter knows the rest: no `any`, no non-null `!`, no printing, no cycles.
  test("has a reason beside each `as`", () => {
    const wrong = sources.flatMap(({ path, text }) => {
      const lines = text.split("\n");
      const code = lines.map((line) => line.replace(/".*?"|`.*?`|\/\*.*|^\s*(\*|\/\/).*/g, ""));
      return code.flatMap((line, at) => {
        const isAsserted = /\bas (?!const\b)/.test(line) && !/\bimport\b/.test(line);
        const hasReason = lines.slice(Math.max(0, at - 2), at).some((one) => one.includes("`as`"));
        return isAsserted && !hasReason ? [`${path}:${at + 1}: ${line.trim()}`] : [];
      });
    });
    expect(wrong).toEqual([]);
  });
});

describe("the project", () => {
  test("has no registry address in its lock file", () => {
    expect(readFileSync(join(ROOT, "bun.lock"), "utf8")).not.toMatch(/https?:/);
  });

  test("installs what it needs without a word, blocked scripts included", () => {
    using folder = temporaryFolder();
    for (const name of ["package.json", "bun.lock"]) {
      copyFileSync(join(ROOT, name), join(folder.path, name));
    }
    const install = Bun.spawnSync([process.execPath, ...scripts.prestart.split(" ").slice(1)], {
      cwd: folder.path,
    });
    expect([install.exitCode, `${install.stdout}${install.stderr}`]).toEqual([0, ""]);
  });

  test("names one version of Bun", () => {
    expect(packageManager).toBe(`bun@${engines.bun}`);
  });
});
