import { describe, expect, test } from "bun:test";
import { createWaker, latestDueAt, LONGEST_PAUSE_MS } from "../../src/orders/retry-schedule.ts";

const TIMEOUT_MS = 5000;
const DAY_MS = 24 * 3_600_000;

/** What `dueBeyond` returns if all jobs become due that are not leased. */
const allUnleased = (now: number) => latestDueAt(now, TIMEOUT_MS);

/** What `dueBeyond` returns if no job becomes due early. */
const none = (now: number) => latestDueAt(now, LONGEST_PAUSE_MS);

describe("waker", () => {
  test("makes all jobs due on the first poll, unleased ones if that fails, and then none", () => {
    const waker = createWaker(TIMEOUT_MS, false);
    waker.start();
    expect(waker.dueBeyond(0)).toBe(0);
    expect(waker.dueBeyond(1000)).toBe(allUnleased(1000));
    waker.woke(1);
    expect(waker.dueBeyond(2000)).toBe(none(2000));
  });

  test("makes no jobs due on the first poll of a shared store", () => {
    const waker = createWaker(TIMEOUT_MS, true);
    waker.start();
    expect(waker.dueBeyond(0)).toBe(none(0));
  });

  test("makes unleased jobs due after each success, with pauses that grow while it often finds some", () => {
    const waker = createWaker(TIMEOUT_MS, true);
    /** Polls at `now` after another success. */
    const poll = (now: number, found: number) => {
      waker.succeeded();
      const dueBeyond = waker.dueBeyond(now);
      waker.woke(found);
      return dueBeyond;
    };
    expect(poll(0, 1)).toBe(allUnleased(0));
    expect(poll(999, 0)).toBe(none(999));
    expect(poll(1000, 1)).toBe(allUnleased(1000));
    expect(poll(16_999, 0)).toBe(none(16_999));
    // A job that never succeeds may be leased during a poll.
    expect(poll(17_000, 0)).toBe(allUnleased(17_000));
    expect(poll(18_000, 1)).toBe(allUnleased(18_000));
    expect(poll(98_999, 0)).toBe(none(98_999));
    expect(poll(99_000, 0)).toBe(allUnleased(99_000));
    // After a quiet hour, the pauses start again.
    const later = 99_000 + LONGEST_PAUSE_MS + 1;
    expect(poll(later, 1)).toBe(allUnleased(later));
    expect(poll(later + 999, 0)).toBe(none(later + 999));
    expect(poll(later + 1000, 1)).toBe(allUnleased(later + 1000));
    // Without another success:
    expect(waker.dueBeyond(DAY_MS)).toBe(none(DAY_MS));
  });

  test("does not pause longer if the clock is set back", () => {
    const waker = createWaker(TIMEOUT_MS, true);
    waker.succeeded();
    waker.dueBeyond(DAY_MS);
    waker.woke(1);
    waker.succeeded();
    expect(waker.dueBeyond(0)).toBe(allUnleased(0));
  });

  test("handles a success during a poll on the next one, unless a job was postponed since", () => {
    const waker = createWaker(TIMEOUT_MS, true);
    waker.succeeded();
    waker.dueBeyond(0);
    waker.succeeded();
    waker.woke(0);
    expect(waker.dueBeyond(1)).toBe(allUnleased(1));
    waker.succeeded();
    waker.postponed();
    waker.woke(0);
    expect(waker.dueBeyond(2)).toBe(none(2));
  });
});
