import { expect, jest, test } from "bun:test";
import { TimeoutExceeded, withTimeout } from "../../src/lib/with-timeout.ts";

const never = () => new Promise<never>(() => {});

/** Records how the promise settles. */
function watch(promise: Promise<unknown>) {
  const settled: { outcome?: unknown } = {};
  promise.then(
    (value) => (settled.outcome = value),
    (error) => (settled.outcome = error),
  );
  return settled;
}

const turn = () => new Promise((resolve) => queueMicrotask(() => resolve(undefined)));

test("withTimeout resolves if the call returns in time, else rejects at the timeout", async () => {
  jest.useFakeTimers();
  try {
    const answer = Promise.withResolvers<string>();
    const inTime = watch(withTimeout(1000, () => answer.promise));
    const late = watch(withTimeout(1000, never));
    jest.advanceTimersByTime(999);
    answer.resolve("in time");
    for (let i = 0; i < 5; i++) await turn();
    expect([inTime.outcome, late.outcome]).toEqual(["in time", undefined]);
    jest.advanceTimersByTime(1);
    await turn();
    expect(late.outcome).toBeInstanceOf(TimeoutExceeded);
    expect(jest.getTimerCount()).toBe(0);
  } finally {
    jest.useRealTimers();
  }
});

test("withTimeout aborts its signal at the timeout", async () => {
  const signals: AbortSignal[] = [];
  const late = withTimeout(1, ({ signal }) => {
    signals.push(signal);
    return never();
  });
  expect(await late.catch((error: unknown) => error)).toBeInstanceOf(TimeoutExceeded);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
});

test("withTimeout rejects if the call throws", async () => {
  const thrown = withTimeout(60_000, () => {
    throw new Error("at once");
  });
  expect(await thrown.catch(String)).toBe("Error: at once");
});

test("withTimeout rejects running and later calls after the cutoff", async () => {
  const cutoff = new AbortController();
  const running = watch(withTimeout(60_000, never, cutoff.signal));
  cutoff.abort();
  const later = watch(withTimeout(60_000, never, cutoff.signal));
  await turn();
  expect(running.outcome).toBeInstanceOf(TimeoutExceeded);
  expect(later.outcome).toBeInstanceOf(TimeoutExceeded);
});

test("withTimeout starts one timer for calls that begin together", async () => {
  jest.useFakeTimers();
  try {
    const before = jest.getTimerCount();
    const late = Array.from({ length: 10 }, () => watch(withTimeout(1000, never)));
    expect(jest.getTimerCount() - before).toBe(1);
    jest.advanceTimersByTime(1000);
    await turn();
    expect(late.filter(({ outcome }) => outcome instanceof TimeoutExceeded)).toHaveLength(10);
  } finally {
    jest.useRealTimers();
  }
});
