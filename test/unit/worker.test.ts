import { expect, jest, test } from "bun:test";
import { createLog } from "../../src/log.ts";
import { createWorker, type Leased } from "../../src/orders/worker.ts";
import { openStore } from "../support/store.ts";

test("worker polls every 50 ms while its queue is full or it has just claimed a job, else every second", async () => {
  const clock = { ms: 0 };
  const polls: number[] = [];
  const release = Promise.withResolvers<void>();
  const store = openStore();
  const now = () => clock.ms;
  const worker = createWorker<Leased, void>({
    store,
    log: createLog({ level: "error", json: false, write: console.log, now }),
    now,
    jobs: {
      name: "test",
      idOf: ({ attempt }) => attempt,
      // Not called while the queue is full.
      async claim() {
        polls.push(clock.ms);
        return polls.length <= 2 ? [{ attempt: polls.length, dueAt: 60_000 }] : [];
      },
      makeDue: async () => [],
      reschedule: async () => {},
    },
    timeoutMs: 60_000,
    concurrency: 2,
    run: () => release.promise,
    onFailure: () => {},
  });
  const ending = new AbortController();
  jest.useFakeTimers();
  try {
    const running = worker.run(ending.signal);
    for (; clock.ms < 2200; clock.ms += 10) {
      if (clock.ms === 120) release.resolve();
      // A poll's transaction ends before this one; its next pause begins in the next turn.
      await store.ping();
      await new Promise((resolve) => setImmediate(resolve));
      jest.advanceTimersByTime(10);
    }
    ending.abort();
    await running;
  } finally {
    jest.useRealTimers();
  }
  // Full at 100 ms.
  expect(polls).toEqual([0, 50, 150, 1150, 2150]);
  await store.close();
});
