import { expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import { startServer } from "../../src/server.ts";
import { readConfig } from "../../src/config.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { say } from "../support/raw-socket.ts";
import { createDependencies, createWorld } from "../support/world.ts";

// A separate file, because it mostly waits while other test files run.

const PAYMENT_TIMEOUT_MS = 400;

const POST =
  "POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n";

test(
  "connections with incomplete headers or bodies are closed after the payment timeout",
  async () => {
    using folder = temporaryFolder();
    await using service = await spawnService({
      DATABASE_URL: `file:${join(folder.path, "x.db")}`,
      PAYMENT_TIMEOUT_MS: String(PAYMENT_TIMEOUT_MS),
    });
    const startedAt = performance.now();
    const never = () => false;
    const received = await Promise.all([
      say(service.url, `${POST}\r\n{`, never),
      say(service.url, POST, never),
    ]);
    const tookMs = performance.now() - startedAt;
    expect(received).toEqual(["", ""]);
    expect(tookMs).toBeGreaterThan(PAYMENT_TIMEOUT_MS);
    expect((await service.get("/")).status).toBe(200);
  },
  BUSY_MACHINE_MS,
);

test.each([
  ["8000", 13],
  ["1000", 12],
])(
  "idle timeout of connections with PAYMENT_TIMEOUT_MS=%s is %i s",
  async (PAYMENT_TIMEOUT_MS, seconds) => {
    // Checks the setting: Bun's timer ticks every 4 s, so a measurement would be less exact.
    using serve = spyOn(Bun, "serve");
    const config = readConfig({ PORT: "0", PAYMENT_TIMEOUT_MS });
    const service = await startServer({ ...createDependencies(createWorld()), config });
    await service.stop();
    expect(serve.mock.calls.map(([options]) => options.idleTimeout)).toEqual([seconds]);
  },
);
