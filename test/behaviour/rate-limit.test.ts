import { describe, expect, test } from "bun:test";
import { createRateLimit } from "../../src/lib/rate-limit.ts";
import { createService } from "../support/service.ts";

const HOUR_MS = 3_600_000;

describe("a rate limit", () => {
  function createLimit(limit: number) {
    const clock = { nowMs: 0 };
    return {
      clock,
      ...createRateLimit<number>({ limit, windowMs: 1000, now: () => clock.nowMs }),
    };
  }

  test("lets so many through in a window, and as many in the next", () => {
    const { clock, take, renewsAt } = createLimit(2);
    expect([take(1), take(1), take(1), take(2)]).toEqual([true, true, false, true]);
    clock.nowMs = 999;
    expect([take(1), renewsAt(1)]).toEqual([false, 1000]);
    clock.nowMs = 1000;
    expect([take(1), take(1), take(1)]).toEqual([true, true, false]);
  });

  test("takes back what was not used", () => {
    const { take, giveBack } = createLimit(1);
    expect([take(1), take(1)]).toEqual([true, false]);
    giveBack(1);
    expect([take(1), take(1)]).toEqual([true, false]);
  });

  test("of 0 lets everything through", () => {
    const { take } = createLimit(0);
    expect(Array.from({ length: 1000 }, () => take(1))).not.toContain(false);
  });

  test("does not last longer where the clock is set back", () => {
    const { clock, take } = createLimit(1);
    clock.nowMs = HOUR_MS;
    take(1);
    clock.nowMs = 0;
    expect(take(1)).toBe(true);
  });

  test("remembers so many keys and no more, and forgets the oldest", () => {
    const { take } = createLimit(1);
    for (let key = 0; key < 100_001; key++) take(key);
    expect([take(100_000), take(1), take(0)]).toEqual([false, false, true]);
  });
});

describe("new orders of one user", () => {
  const environment = { ORDERS_PER_USER_PER_HOUR: "2", ORDER_REPEAT_WINDOW_S: "60" };
  const key = (name: string) => ({ "idempotency-key": name });

  test("are refused beyond the limit until the hour is over, and those of others are not", async () => {
    const { order, userId, world } = createService(environment);
    const user = await userId();
    for (const name of ["a", "b"]) expect((await order(user, key(name))).status).toBe(200);
    world.nowMs += 1000;
    const refused = await order(user, key("c"));
    expect([refused.status, refused.body["code"]]).toEqual([429, "too_many_orders"]);
    expect(refused.headers.get("retry-after")).toBe("3599");
    expect(world.charges).toHaveLength(2);
    expect((await order(await userId("+998907777777"), key("c"))).status).toBe(200);
    world.nowMs += HOUR_MS - 1000;
    expect((await order(user, key("c"))).status).toBe(200);
  });

  test("are counted, and repeats are not: those are answered also beyond the limit", async () => {
    const { order, userId, world } = createService(environment);
    const user = await userId();
    for (let time = 0; time < 5; time++) await order(user, key("a"));
    expect((await order(user)).status).toBe(200);
    for (const headers of [key("a"), {}]) expect((await order(user, headers)).status).toBe(200);
    // Its window is over: it would be new.
    world.nowMs += 60_000;
    expect((await order(user)).status).toBe(429);
    expect(world.charges).toHaveLength(2);
  });

  test("are counted, and what is refused for another reason is not", async () => {
    const { order, userId } = createService(environment);
    const user = await userId();
    for (let time = 0; time < 5; time++) await order(user, {}, "unknown");
    await order(user, key("a"));
    expect((await order(user, key("a"), "unknown")).body["code"]).toBe("idempotency_key_reused");
    expect((await order(user, key("b"))).status).toBe(200);
  });

  test("are counted, and what could not be stored is not", async () => {
    const { order, userId, world } = createService(environment);
    const user = await userId();
    world.storeFault = new Error("no room");
    for (const name of ["a", "b", "c"]) await order(user, key(name));
    world.storeFault = undefined;
    expect((await order(user, key("d"))).status).toBe(200);
  });

  test("that come all at once are no more than the limit", async () => {
    const { order, userId, world } = createService(environment);
    const user = await userId();
    const all = await Promise.all(Array.from({ length: 20 }, (_, at) => order(user, key(`${at}`))));
    expect(all.filter(({ status }) => status === 200)).toHaveLength(2);
    expect(world.charges).toHaveLength(2);
  });

  test("have no limit where it is 0", async () => {
    const { order, userId, world } = createService({ ORDERS_PER_USER_PER_HOUR: "0" });
    const user = await userId();
    for (let at = 0; at < 40; at++) await order(user, key(`${at}`));
    expect(world.charges).toHaveLength(40);
  });
});

describe("SMS to all users together", () => {
  const number = (at: number) => `+99890${String(1_234_567 + at)}`;

  test("are no more than the limit in an hour; users are registered all the same, with one warning a minute", async () => {
    const { register, world } = createService({ SMS_PER_HOUR: "2" });
    for (let at = 0; at < 5; at++) expect((await register(number(at))).status).toBe(200);
    expect(world.sms).toEqual([number(0), number(1)]);
    const warnings = () =>
      world.lines.filter((line) => line.includes("SMS_PER_HOUR (2) is used up"));
    expect(warnings()).toHaveLength(1);
    world.nowMs += 60_000;
    await register(number(5));
    await register(number(6));
    expect(warnings()).toHaveLength(2);
    world.nowMs += HOUR_MS;
    await register(number(7));
    expect(world.sms).toEqual([number(0), number(1), number(7)]);
  });
});
