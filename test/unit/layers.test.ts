import { describe, expect, test } from "bun:test";
import { copyFileSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { engines, packageManager, scripts } from "../../package.json";
import { temporaryFolder } from "../support/process.ts";

const ROOT = join(import.meta.dir, "../..");
const SRC = join(ROOT, "src");

/** Top to bottom. A file may import from lower layers and from its own folder. */
const LAYERS = [
  ["main.ts"],
  ["commands"],
  ["server.ts"],
  ["app.ts"],
  ["board"],
  ["users", "orders", "tariffs", "health"],
  ["dependencies.ts"],
  ["http", "store", "adapters"],
  ["config.ts"],
  ["ports.ts", "settings.ts"],
  ["metrics.ts"],
  ["errors.ts", "log.ts", "lib"],
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

describe("source", () => {
  test("has a layer for every file", () => {
    expect(sources.map(({ path }) => path).filter((path) => layerOf(path) === -1)).toEqual([]);
  });

  test("imports only from lower layers, or from the same folder", () => {
    const violations = sources.flatMap((source) =>
      importsOf(source)
        .filter((imported) => moduleOf(imported) !== moduleOf(source.path))
        .filter((imported) => layerOf(imported) <= layerOf(source.path))
        .map((imported) => `${source.path} imports ${imported}`),
    );
    expect(violations).toEqual([]);
  });

  test.each([
    ["the environment", /process\.env|Bun\.env/, ["main.ts"]],
    ["the clock", /Date\.now|new Date\(\)|performance\.now/, ["main.ts"]],
    ["randomness", /Math\.random|crypto\.(random|getRandom)/, ["main.ts"]],
    ["fetch", /(?<!\.)\bfetch\(/, ["main.ts"]],
    [
      "a transaction",
      /"(BEGIN|COMMIT)|\.transaction\(/,
      ["store/sqlite/group-commit.ts", "store/sqlite/lock.ts", "store/sqlite/migrations.ts"],
    ],
  ])("uses %s only in the allowed files", (_what, pattern, allowed) => {
    const found = sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
    expect(found.toSorted()).toEqual(allowed);
  });

  // The linter checks the rest: no `any`, no non-null `!`, no printing, no cycles.
  test("explains each `as` in a comment", () => {
    const violations = sources.flatMap(({ path, text }) => {
      const lines = text.split("\n");
      const code = lines.map((line) => line.replace(/".*?"|`.*?`|\/\*.*|^\s*(\*|\/\/).*/g, ""));
      return code.flatMap((line, at) => {
        const isAsserted = /\bas (?!const\b)/.test(line) && !/\bimport\b/.test(line);
        const hasReason = lines.slice(Math.max(0, at - 2), at).some((one) => one.includes("`as`"));
        return isAsserted && !hasReason ? [`${path}:${at + 1}: ${line.trim()}`] : [];
      });
    });
    expect(violations).toEqual([]);
  });
});

describe("project", () => {
  test("has no registry address in its lock file", () => {
    expect(readFileSync(join(ROOT, "bun.lock"), "utf8")).not.toMatch(/https?:/);
  });

  test("installs its dependencies without output, not even about blocked scripts", () => {
    using folder = temporaryFolder();
    for (const name of ["package.json", "bun.lock"]) {
      copyFileSync(join(ROOT, name), join(folder.path, name));
    }
    const install = Bun.spawnSync([process.execPath, ...scripts.prestart.split(" ").slice(1)], {
      cwd: folder.path,
    });
    expect([install.exitCode, `${install.stdout}${install.stderr}`]).toEqual([0, ""]);
  });

  test("pins one version of Bun", () => {
    expect(packageManager).toBe(`bun@${engines.bun}`);
  });
});
