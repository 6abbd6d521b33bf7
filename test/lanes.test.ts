import { expect, jest, test } from "bun:test";
import { createDeadline, DeadlineExceeded } from "../src/deadline.ts";
import { createLanes, MAX_WAITING } from "../src/lanes.ts";

const expectNoFault = (fault: unknown) => {
  throw fault;
};

const never = () => new Promise<never>(() => {});

test("lanes take so many items at a time, and each item once at a time", async () => {
  const taken: number[] = [];
  const release = Promise.withResolvers<void>();
  const lanes = createLanes<number>(
    2,
    (item) => item,
    async (item) => {
      taken.push(item);
      await release.promise;
    },
    expectNoFault,
  );
  for (const item of [1, 1, 2, 3, 3]) expect(lanes.offer(item)).toBe(true);
  expect([taken, lanes.load()]).toEqual([[1, 2], 3]);
  release.resolve();
  await lanes.idle();
  expect([taken, lanes.load()]).toEqual([[1, 2, 3], 0]);
  lanes.offer(1);
  await lanes.idle();
  expect(taken).toEqual([1, 2, 3, 1]);
});

test("lanes take no more than may wait", () => {
  const lanes = createLanes<number>(1, (item) => item, never, expectNoFault);
  for (let item = 0; item <= MAX_WAITING; item++) expect(lanes.offer(item)).toBe(true);
  expect(lanes.offer(-1)).toBe(false);
});

test.each([
  ["rejects", () => Promise.reject(Symbol("no"))],
  [
    "throws",
    () => {
      throw new Error("no");
    },
  ],
])("lanes are free again when a handler %s, and the fault is reported", async (_how, fail) => {
  const faults: unknown[] = [];
  const taken: number[] = [];
  const lanes = createLanes<number>(
    1,
    (item) => item,
    (item) => {
      taken.push(item);
      return fail();
    },
    (fault) => faults.push(fault),
  );
  lanes.offer(1);
  lanes.offer(2);
  await lanes.idle();
  lanes.offer(1);
  await lanes.idle();
  expect([taken, faults.length, lanes.load()]).toEqual([[1, 2, 1], 3, 0]);
});

test("a deadline that is kept ends only the calls that are not", async () => {
  jest.useFakeTimers();
  try {
    const deadline = createDeadline(1000);
    const answered = Promise.withResolvers<string>();
    const inTime = deadline(() => answered.promise);
    const late = deadline(never);
    jest.advanceTimersByTime(999);
    answered.resolve("in time");
    expect(await inTime).toBe("in time");
    jest.advanceTimersByTime(11);
    await expect(late).rejects.toThrow(DeadlineExceeded);
  } finally {
    jest.useRealTimers();
  }
});

test("calls that begin later end later, by a hundredth of their time at most", async () => {
  jest.useFakeTimers();
  try {
    const deadline = createDeadline(1000);
    const ended: number[] = [];
    for (let at = 0; at < 100; at++) {
      deadline(never).catch(() => ended.push(at));
      jest.advanceTimersByTime(1);
    }
    jest.advanceTimersByTime(950);
    await Promise.resolve();
    // At 1050 ms: those that have begun by the 40th ms have had their 1000 ms and the hundredth.
    expect(ended.length).toBeGreaterThanOrEqual(40);
    expect(ended.length).toBeLessThanOrEqual(50);
  } finally {
    jest.useRealTimers();
  }
});

test("a deadline that passes rejects and aborts, and a call that throws rejects", async () => {
  const signals: AbortSignal[] = [];
  const late = createDeadline(1)((signal) => {
    signals.push(signal);
    return never();
  });
  await expect(late).rejects.toThrow(DeadlineExceeded);
  expect(signals[0]?.aborted).toBe(true);
  const thrown = createDeadline(60_000)(() => {
    throw new Error("at once");
  });
  await expect(thrown).rejects.toThrow("at once");
});
