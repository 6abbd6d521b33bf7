import { expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import { startServer } from "../../src/server.ts";
import { readConfig } from "../../src/config.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { say } from "../support/raw-socket.ts";
import { createDependencies, createWorld } from "../support/world.ts";

// In a file of its own, because it only waits: other files run meanwhile.

const PAYMENT_TIMEOUT_MS = 400;

const POST =
  "POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n";

test(
  "a body or a header that never comes is cut off after the longest answer and a while",
  async () => {
    using folder = temporaryFolder();
    await using service = await spawnService({
      DATABASE_URL: `file:${join(folder.path, "x.db")}`,
      PAYMENT_TIMEOUT_MS: String(PAYMENT_TIMEOUT_MS),
    });
    const startedAt = performance.now();
    const never = () => false;
    const heard = await Promise.all([
      say(service.url, `${POST}\r\n{`, never),
      say(service.url, POST, never),
    ]);
    const tookMs = performance.now() - startedAt;
    expect(heard).toEqual(["", ""]);
    expect(tookMs).toBeGreaterThan(PAYMENT_TIMEOUT_MS);
    expect((await service.get("/")).status).toBe(200);
  },
  BUSY_MACHINE_MS,
);

test("a connection may be silent for 5 s longer than the longest answer takes", async () => {
  // Bun counts in steps of 4 s, so what it is told is more exact than what can be measured.
  const serve = spyOn(Bun, "serve");
  const config = readConfig({ PORT: "0", PAYMENT_TIMEOUT_MS: "8000" });
  const service = await startServer({ ...createDependencies(createWorld()), config });
  await service.stop();
  expect(serve.mock.calls.map(([options]) => options.idleTimeout)).toEqual([13]);
  serve.mockRestore();
});
