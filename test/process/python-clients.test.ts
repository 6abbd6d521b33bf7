import { expect, test, setDefaultTimeout } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { skip } from "../support/skip.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

/** Returns a Python that has the module, if any. Debian's packages are not in every Python. */
function pythonWith(module: string): string | undefined {
  return ["python3", "/usr/bin/python3", "python"].find((python) => {
    if (Bun.which(python) === null) return false;
    return Bun.spawnSync([python, "-c", `import ${module}`]).exitCode === 0;
  });
}

test.each(["requests", "aiohttp"])(
  "Python bot using %s can register, order and look up users and orders",
  async (module) => {
    const python = pythonWith(module);
    if (python === undefined) {
      return skip(`the bot in Python with ${module}, which is not installed`);
    }
    using folder = temporaryFolder();
    await using service = await spawnService({ DATABASE_URL: `file:${join(folder.path, "x.db")}` });
    const bot = Bun.spawn(
      [python, join(import.meta.dir, "../support/bot.py"), module, service.url],
      {
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const [output, errors] = await Promise.all([bot.stdout.text(), bot.stderr.text()]);
    expect(errors).toBe("");
    expect(output.trim().split("\n")).toEqual([
      "health 200 NoMus API is running",
      "register 200 ok 1",
      "register again 200 ok 1",
      "order 200 ok 1",
      "declined 402 payment_declined 2",
      "user by chat 200 1 Азиза",
      "user by phone 200 1 123456789",
      "unknown chat 404 user_not_found",
      "my orders 200 [[1, 'paid']]",
      "unknown tariff 404 tariff_not_found",
      "invalid 422 validation_failed",
    ]);
  },
);

const API = readFileSync(join(import.meta.dir, "../../docs/api.md"), "utf8");

test.each([
  ["requests", /^Paid, order 1\n$/],
  ["aiohttp", /^\(200, \{'status': 'ok', 'order_id': 1, .*\}\)\n$/],
])(
  "docs/api.md: the Python client using %s registers a user and places an order",
  async (module, printed) => {
    const python = pythonWith(module);
    if (python === undefined) {
      return skip(`docs/api.md's Python client with ${module}, which is not installed`);
    }
    const snippets = Array.from(API.matchAll(/```python\n(.*?)```/gs), ([, code = ""]) => code);
    const snippet = snippets.find((code) => code.includes(`import ${module}`)) ?? "";
    using folder = temporaryFolder();
    await using service = await spawnService({
      DATABASE_URL: `file:${join(folder.path, "x.db")}`,
      API_KEY: "the-bots-key",
    });
    const script = snippet.replaceAll("http://127.0.0.1:8000", service.url);
    const bot = Bun.spawn([python, "-c", script], { stdout: "pipe", stderr: "pipe" });
    const [output, errors] = await Promise.all([bot.stdout.text(), bot.stderr.text()]);
    expect(errors).toBe("");
    expect(output).toMatch(printed);
  },
);

test("docs/api.md tells PowerShell users to declare UTF-8", () => {
  expect(API).toContain("-ContentType 'application/json; charset=utf-8'");
});
