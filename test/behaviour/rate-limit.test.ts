import { describe, expect, test } from "bun:test";
import { createRateLimit } from "../../src/lib/rate-limit.ts";
import { createService } from "../support/service.ts";

const HOUR_MS = 3_600_000;

describe("rate limit", () => {
  function createLimit(limit: number) {
    const clock = { nowMs: 0 };
    return {
      clock,
      ...createRateLimit<number>({ limit, windowMs: 1000, now: () => clock.nowMs }),
    };
  }

  test("allows `limit` calls per key and window", () => {
    const { clock, take, renewsAt } = createLimit(2);
    expect([take(1), take(1), take(1), take(2)]).toEqual([true, true, false, true]);
    clock.nowMs = 999;
    expect([take(1), renewsAt(1)]).toEqual([false, 1000]);
    clock.nowMs = 1000;
    expect([take(1), take(1), take(1)]).toEqual([true, true, false]);
  });

  test("allows one more call after one is given back", () => {
    const { take, giveBack } = createLimit(1);
    expect([take(1), take(1)]).toEqual([true, false]);
    giveBack(1);
    expect([take(1), take(1)]).toEqual([true, false]);
  });

  test("of 0 allows every call", () => {
    const { take } = createLimit(0);
    expect(Array.from({ length: 1000 }, () => take(1))).not.toContain(false);
  });

  test("does not last longer if the clock is set back", () => {
    const { clock, take } = createLimit(1);
    clock.nowMs = HOUR_MS;
    take(1);
    clock.nowMs = 0;
    expect(take(1)).toBe(true);
  });

  test("forgets the oldest key beyond 100,000 keys", () => {
    const { take } = createLimit(1);
    for (let key = 0; key < 100_001; key++) take(key);
    expect([take(100_000), take(1), take(0)]).toEqual([false, false, true]);
  });
});

describe("order limit per user", () => {
  const environment = { ORDERS_PER_USER_PER_HOUR: "2", ORDER_REPEAT_WINDOW_S: "60" };
  const key = (name: string) => ({ "idempotency-key": name });

  test("refuses new orders until the hour is over, but not those of other users", async () => {
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

  test("does not count or refuse repeats", async () => {
    const { order, userId, world } = createService(environment);
    const user = await userId();
    for (let time = 0; time < 5; time++) await order(user, key("a"));
    expect((await order(user)).status).toBe(200);
    for (const headers of [key("a"), {}]) expect((await order(user, headers)).status).toBe(200);
    // The repeat window is over, so this would be a new order.
    world.nowMs += 60_000;
    expect((await order(user)).status).toBe(429);
    expect(world.charges).toHaveLength(2);
  });

  test("does not count orders that are refused for another reason", async () => {
    const { order, userId } = createService(environment);
    const user = await userId();
    for (let time = 0; time < 5; time++) await order(user, {}, "unknown");
    await order(user, key("a"));
    expect((await order(user, key("a"), "unknown")).body["code"]).toBe("idempotency_key_reused");
    expect((await order(user, key("b"))).status).toBe(200);
  });

  test("does not count orders that could not be stored", async () => {
    const { order, userId, world } = createService(environment);
    const user = await userId();
    world.storeFault = new Error("no room");
    for (const name of ["a", "b", "c"]) await order(user, key(name));
    world.storeFault = undefined;
    expect((await order(user, key("d"))).status).toBe(200);
  });

  test("holds for simultaneous orders", async () => {
    const { order, userId, world } = createService(environment);
    const user = await userId();
    const all = await Promise.all(Array.from({ length: 20 }, (_, at) => order(user, key(`${at}`))));
    expect(all.filter(({ status }) => status === 200)).toHaveLength(2);
    expect(world.charges).toHaveLength(2);
  });

  test("does not count simultaneous repeats", async () => {
    const { order, userId } = createService(environment);
    const user = await userId();
    await order(user, key("a"));
    const names = ["a", "a", "b", "a", "b"];
    const all = await Promise.all(names.map((name) => order(user, key(name))));
    expect(all.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(new Set(all.map(({ body }) => body["order_id"])).size).toBe(2);
  });

  test("is off if set to 0", async () => {
    const { order, userId, world } = createService({ ORDERS_PER_USER_PER_HOUR: "0" });
    const user = await userId();
    for (let at = 0; at < 40; at++) await order(user, key(`${at}`));
    expect(world.charges).toHaveLength(40);
  });
});

describe("SMS limit for all users", () => {
  const number = (at: number) => `+99890${String(1_234_567 + at)}`;

  test("caps SMS per hour, still registers users, and warns once a minute", async () => {
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
