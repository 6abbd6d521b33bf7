import { expect, test } from "bun:test";
import { createLiveUpdates, type Version } from "../../src/board/live-updates.ts";
import { createLog } from "../../src/log.ts";

const QUIET = createLog({ level: "error", json: false, write: () => {}, now: () => 0 });

/** Returns the text of the stream, up to and including the awaited part. */
async function readUntil(stream: ReadableStream<Uint8Array>, awaited: string): Promise<string> {
  let text = "";
  for await (const chunk of stream.values({ preventCancel: true })) {
    text += Buffer.from(chunk).toString();
    if (text.includes(awaited)) return text;
  }
  throw new Error(`the stream ended after ${text}`);
}

test("board stream starts with a heartbeat, and repeats it while nothing changes", async () => {
  const version = { newOrders: 2, lastPaidAt: 5, lastEvent: 7, recentEvents: 6 };
  const timings = { pollMs: 1, heartbeatMs: 1 };
  const changes = createLiveUpdates(async () => version, QUIET, timings);
  const heartbeat = "event: heartbeat\nid: 2.5.7.6\ndata: 2\n\n";
  const text = await readUntil(changes.open(), heartbeat.repeat(3));
  expect(text).toBe(`retry: 1000\n\n${heartbeat.repeat(3)}`);
  changes.close();
});

test("each board stream gets a heartbeat immediately, and then only later changes", async () => {
  let version: Version = { newOrders: 0, lastPaidAt: 0, lastEvent: 0, recentEvents: 0 };
  const timings = { pollMs: 1, heartbeatMs: 3_600_000 };
  const changes = createLiveUpdates(async () => version, QUIET, timings);
  const first = changes.open();
  await readUntil(first, "event: heartbeat\nid: 0.0.0.0\ndata: 0\n\n");
  const second = changes.open();
  await readUntil(second, "event: heartbeat\nid: 0.0.0.0\ndata: 0\n\n");
  version = { newOrders: 1, lastPaidAt: 3, lastEvent: 4, recentEvents: 1 };
  const change = "event: change\nid: 1.3.4.1\ndata: 1\n\n";
  expect(await readUntil(first, change)).toBe(change);
  expect(await readUntil(second, change)).toBe(change);
  changes.close();
});

test("board stream sends no heartbeat while the database can't be read, and logs this once", async () => {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(String(line.split("\n")[0]));
  const log = createLog({ level: "info", json: false, write, now: () => 0 });
  const version = { newOrders: 0, lastPaidAt: 0, lastEvent: 0, recentEvents: 0 };
  let reads = 0;
  const changes = createLiveUpdates(
    async () => {
      if (reads++ < 20) throw new Error("unreadable");
      return version;
    },
    log,
    { pollMs: 1, heartbeatMs: 1 },
  );
  await readUntil(changes.open(), "event: heartbeat");
  expect(reads).toBe(21);
  expect(lines).toEqual([
    "Error: Reading the board's version failed; retrying until it succeeds.",
    "Reading the board's version succeeds again.",
  ]);
  changes.close();
});
