import { expect, test } from "bun:test";
import { join } from "node:path";
import { spawnService, temporaryFolder } from "./support/process.ts";
import { say } from "./support/raw-socket.ts";

// In a file of its own, because it only waits: other files run meanwhile.

const PAYMENT_TIMEOUT_MS = 4000;

const POST =
  "POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n";

test("a body or a header that never comes is cut off, but not before the longest answer and 5 s", async () => {
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
  expect(tookMs).toBeGreaterThan(PAYMENT_TIMEOUT_MS + 5000);
  // Bun counts in steps of 4 s.
  expect(tookMs).toBeLessThan(24_000);
  expect((await service.get("/")).status).toBe(200);
}, 40_000);
