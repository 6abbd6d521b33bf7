import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { execute, startPostgres } from "../support/postgres.ts";
import { skip } from "../support/skip.ts";

setDefaultTimeout(2 * BUSY_MACHINE_MS);

const ROOT = join(import.meta.dir, "../..");

const PRELOAD = "--preload=./test/support/close-stores.ts";

test("test/behaviour passes on PostgreSQL", async () => {
  await using server = await startPostgres();
  if (server === undefined) return skip("PostgreSQL, which is not installed (Debian's postgresql)");
  const tests = Bun.spawn(
    [process.execPath, "test", "--timeout=60000", "--no-isolate", PRELOAD, "./test/behaviour/"],
    {
      cwd: ROOT,
      env: { ...process.env, TEST_POSTGRES: server.urlOf("postgres") },
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  const [printed, complaints] = await Promise.all([tests.stdout.text(), tests.stderr.text()]);
  const failed = `${printed}${complaints}`.split("\n").filter((line) => !line.startsWith("(pass)"));
  // Proves that the tests used the server.
  const [{ n }] = await execute(
    server.urlOf("postgres"),
    "SELECT count(*)::int AS n FROM pg_database WHERE datname LIKE 'test%'",
  );
  expect(n).toBeGreaterThan(0);
  expect([await tests.exited, failed.join("\n")]).toEqual([0, expect.any(String)]);
});
