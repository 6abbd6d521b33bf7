import { expect, jest, test } from "bun:test";
import { TimeoutExceeded, withTimeout } from "../../src/lib/with-timeout.ts";

const never = () => new Promise<never>(() => {});

/** How the promise has settled by now, if it has. */
function watch(promise: Promise<unknown>) {
  const seen: { outcome?: unknown } = {};
  promise.then(
    (value) => (seen.outcome = value),
    (error) => (seen.outcome = error),
  );
  return seen;
}

const turn = () => new Promise((resolve) => queueMicrotask(() => resolve(undefined)));

test("a call that answers in time is answered, one that does not is rejected then", async () => {
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

test("the signal aborts when nobody waits any more", async () => {
  const signals: AbortSignal[] = [];
  const late = withTimeout(1, ({ signal }) => {
    signals.push(signal);
    return never();
  });
  expect(await late.catch((error: unknown) => error)).toBeInstanceOf(TimeoutExceeded);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
});

test("a call that throws rejects", async () => {
  const thrown = withTimeout(60_000, () => {
    throw new Error("at once");
  });
  expect(await thrown.catch(String)).toBe("Error: at once");
});

test("a cut-off ends the calls that run, and those that begin later", async () => {
  const cutoff = new AbortController();
  const running = watch(withTimeout(60_000, never, cutoff.signal));
  cutoff.abort();
  const later = watch(withTimeout(60_000, never, cutoff.signal));
  await turn();
  expect(running.outcome).toBeInstanceOf(TimeoutExceeded);
  expect(later.outcome).toBeInstanceOf(TimeoutExceeded);
});
