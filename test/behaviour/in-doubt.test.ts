import { describe, expect, test } from "bun:test";
import { Unavailable } from "../../src/errors.ts";
import type { ChargeOutcome } from "../../src/ports.ts";
import { createChargeOrder } from "../../src/orders/charge-order.ts";
import { createService, createServiceOn } from "../support/service.ts";

const MINUTE_MS = 60_000;

/** Longer than any test runs. */
const LONG_MS = 2 * MINUTE_MS;

/** Waits one turn of the event loop, in which all work that needs no timer finishes. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** An error that throws while it is printed. */
const UNPRINTABLE = new Proxy(new Error(), {
  get: () => raise(new Error("no member")),
  ownKeys: () => raise(new Error("no keys")),
});

function raise(fault: unknown): never {
  throw fault;
}

function selfCausedError(): Error {
  const error = new Error("loop");
  error.cause = error;
  return error;
}

describe("payment in doubt", () => {
  test.each([
    ["does not respond", () => new Promise<never>(() => {})],
    ["rejects", () => Promise.reject(new Error("502 Bad Gateway"))],
    [
      "throws synchronously",
      () => {
        throw new Error("no route");
      },
    ],
    ["returns an unknown outcome", async () => "maybe" as never],
    ["returns undefined", async () => undefined as never],
    ["rejects with a symbol", () => Promise.reject(Symbol("no"))],
    ["rejects with an object without a prototype", () => Promise.reject(Object.create(null))],
    ["rejects with an unprintable error", () => Promise.reject(UNPRINTABLE)],
    ["throws an unprintable error", () => raise(UNPRINTABLE)],
    ["returns an unprintable object", async () => UNPRINTABLE as never],
    ["rejects with an error that is its own cause", () => Promise.reject(selfCausedError())],
  ])("is returned as 202 pending if the provider %s", async (_how, charge) => {
    const { order, get, userId, world, app } = createService({ PAYMENT_TIMEOUT_MS: "20" });
    const user = await userId();
    world.charge = charge;
    const { status, body, headers } = await order(user);
    expect(status).toBe(202);
    expect(body).toMatchObject({ status: "pending", order_id: 1 });
    expect(headers.get("retry-after")).toBe("2");
    expect(headers.get("idempotent-replayed")).toBeNull();
    const looked = await get("/orders/1");
    expect(looked.body).toMatchObject({ status: "pending", settled_at: null });
    expect(looked.headers.get("retry-after")).toBe("2");
    expect(world.notified).toEqual([]);
    const repeat = await order(user);
    expect([repeat.status, repeat.body]).toEqual([202, body]);
    expect(repeat.headers.get("idempotent-replayed")).toBe("true");
    // A second attempt an hour later logs the complete error, and also frees its slot.
    world.nowMs += 61 * MINUTE_MS;
    expect(await app.workers.charge.runOnce()).toBe(1);
    await app.idle();
  });

  test("has its provider call aborted at the timeout", async () => {
    const { order, userId, world } = createService({ PAYMENT_TIMEOUT_MS: "20" });
    const signals: AbortSignal[] = [];
    world.charge = (_charge, { signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    };
    await order(await userId());
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });

  test("is retried with the same payment key when due, then settled and notified", async () => {
    const { order, get, userId, world, app, dependencies } = createService();
    const user = await userId();
    world.charge = () => Promise.reject(new Error("502"));
    await order(user);
    world.charge = async () => "paid";
    world.nowMs += 999;
    expect(await app.workers.charge.runOnce()).toBe(0);
    world.nowMs += 1;
    expect(await app.workers.charge.runOnce()).toBe(1);
    await app.idle();
    expect((await get("/orders/1")).body["status"]).toBe("paid");
    expect(world.charges).toHaveLength(2);
    expect(new Set(world.charges.map((charge) => JSON.stringify(charge))).size).toBe(1);
    expect(world.notified).toEqual([1]);
    // Without a webhook, no event is stored for it.
    const events = await dependencies.store.run((tx) => tx.select().from(tx.tables.orderEvents));
    expect(events).toEqual([]);
    const repeat = await order(user);
    expect([repeat.status, repeat.headers.get("idempotent-replayed")]).toEqual([200, "true"]);
  });

  test("that is still in doubt after a retry is returned with the next retry's time", async () => {
    const { order, userId, world, app } = createService();
    const user = await userId();
    world.charge = () => Promise.reject(new Error("502"));
    await order(user);
    world.nowMs += 1000;
    expect(await app.workers.charge.runOnce()).toBe(1);
    await app.idle();
    const repeat = await order(user);
    expect([repeat.status, repeat.headers.get("retry-after")]).toEqual([202, "17"]);
  });

  test("is returned as 202 even if the order can't be read again", async () => {
    const { userId, world, dependencies } = createService();
    const user = await userId();
    const read = () => Promise.reject(new Unavailable("the disk is gone"));
    const store = { ...dependencies.store, read };
    world.charge = () => Promise.reject(new Error("502"));
    const { status, body } = await createServiceOn({ ...dependencies, store }).order(user);
    expect([status, body["order_id"]]).toEqual([202, 1]);
  });

  test("can be declined by a retry, without a notification", async () => {
    const { order, get, userId, world, app } = createService();
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId());
    world.charge = async () => "declined";
    world.nowMs += MINUTE_MS;
    await app.workers.charge.runOnce();
    await app.idle();
    expect((await get("/orders/1")).body["status"]).toBe("declined");
    world.nowMs += MINUTE_MS;
    expect(await app.workers.notify.runOnce()).toBe(0);
    expect(world.notified).toEqual([]);
  });

  test("is not retried until the lease of the running attempt expires", async () => {
    const { order, userId, world, app } = createService({ PAYMENT_TIMEOUT_MS: "60000" });
    const user = await userId();
    const answers = [Promise.withResolvers<"paid">(), Promise.withResolvers<"paid">()];
    world.charge = () => answers[world.charges.length - 1]?.promise ?? Promise.resolve("paid");
    const first = order(user);
    while (world.charges.length < 1) await Bun.sleep(0);
    world.nowMs += 60_999;
    expect(await app.workers.charge.runOnce()).toBe(0);
    world.nowMs += 1;
    expect(await app.workers.charge.runOnce()).toBe(1);
    answers[1]?.resolve("paid");
    await app.idle();
    answers[0]?.resolve("paid");
    expect((await first).status).toBe(200);
  });

  test("keeps the lease of a newer attempt when an older one fails", async () => {
    const { order, userId, world, app, dependencies } = createService();
    const user = await userId();
    const answers = [Promise.withResolvers<"paid">(), Promise.withResolvers<"paid">()];
    world.charge = () => answers[world.charges.length - 1]?.promise ?? Promise.resolve("paid");
    const first = order(user);
    while (world.charges.length < 1) await Bun.sleep(0);
    world.nowMs += 9000;
    await app.workers.charge.runOnce();
    const dueAt = world.nowMs + 9000;
    answers[0]?.reject(new Error("502"));
    expect((await first).status).toBe(202);
    const [row] = await dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
    expect(row).toMatchObject({ attempts: 2, dueAt });
    answers[1]?.resolve("paid");
    await app.idle();
  });

  test("is returned with Retry-After even if it could not be rescheduled", async () => {
    const { order, get, userId, world } = createService();
    const user = await userId();
    world.charge = () => {
      world.storeFault = new Error("no room");
      return Promise.reject(new Error("502"));
    };
    const { status, headers } = await order(user);
    expect([status, headers.get("retry-after")]).toEqual([202, "2"]);
    expect(world.lines.join()).toContain("Could not reschedule charge of order 1");
    world.storeFault = undefined;
    expect((await get("/orders/1")).headers.get("retry-after")).toBe("2");
  });

  test.each([
    ["times out although its lease continues", 20, LONG_MS, 1, "no answer within 20 ms"],
    ["times out when its lease expires", LONG_MS, 20, 1, "no answer within 20 ms"],
    ["does not start if its lease has expired", LONG_MS, 0, 0, "lease expired before"],
  ])("an attempt %s", async (_what, paymentTimeoutMs, leftMs, charges, reason) => {
    const { dependencies, world } = createService();
    world.charge = () => new Promise(() => {});
    const chargeOrder = createChargeOrder({
      ...dependencies,
      config: { paymentTimeoutMs },
      notify: () => {},
      cutoff: new AbortController().signal,
    });
    const { nowMs } = world;
    const charge = { orderId: 1, paymentKey: "p", amountTiyin: 1, payer: "+998901234567" };
    const lease = { attempt: 1, dueAt: nowMs + leftMs };
    const order = { ...charge, ...lease, tariffTitle: "Standard", statusAt: nowMs };
    expect(await chargeOrder(order).catch((error: unknown) => String(error))).toContain(reason);
    expect(world.charges).toHaveLength(charges);
  });

  test("is retried without limit, with pauses that grow to an hour", async () => {
    const { order, userId, world, app, dependencies } = createService({
      PAYMENT_TIMEOUT_MS: "1000",
    });
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId());
    const pauses: number[] = [];
    for (let attempt = 1; attempt <= 10; attempt++) {
      const [row] = await dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
      const dueAt = row?.dueAt ?? 0;
      pauses.push((dueAt - world.nowMs) / 1000);
      world.nowMs = dueAt;
      expect(await app.workers.charge.runOnce()).toBe(1);
      await app.idle();
    }
    expect(pauses).toEqual([1, 16, 81, 256, 625, 1296, 2401, 3600, 3600, 3600]);
    expect(new Set(world.charges.map(({ paymentKey }) => paymentKey)).size).toBe(1);
  });

  test("is logged as a warning after an hour", async () => {
    const { order, userId, world, app } = createService();
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId());
    const warned = () => world.lines.filter((line) => line.startsWith("Warning")).length;
    world.nowMs += 59 * MINUTE_MS;
    await app.workers.charge.runOnce();
    await app.idle();
    expect(warned()).toBe(0);
    world.nowMs += 2 * MINUTE_MS;
    await app.workers.charge.runOnce();
    await app.idle();
    expect(warned()).toBe(1);
    expect(world.lines.at(-1)).toMatch(/^Warning: The payment of order 1 is in doubt.*502/s);
  });

  test("is retried before those that have been due for a shorter time", async () => {
    const { order, register, world, app } = createService();
    world.charge = () => Promise.reject(new Error("502"));
    for (let i = 1; i <= 65; i++) {
      await order((await register(`+99890${1_000_000 + i}`)).body["user_id"]);
      world.nowMs += 1;
    }
    world.charges.length = 0;
    world.charge = async () => "paid";
    world.nowMs += MINUTE_MS;
    expect(await app.workers.charge.runOnce()).toBe(64);
    await app.idle();
    expect(world.charges.map(({ orderId }) => orderId)).not.toContain(65);
  });

  test("that hangs does not delay other payments, and at most 64 are retried at a time", async () => {
    const { get, order, register, world, app } = createService();
    world.charge = () => Promise.reject(new Error("502"));
    for (let i = 0; i < 200; i++) {
      const { body } = await register(`+99890${1_000_000 + i}`);
      await order(body["user_id"]);
    }
    world.charges.length = 0;
    // The first call, not a specific order: all are due at once, so any 64 may be claimed.
    world.charge = () =>
      world.charges.length === 1 ? new Promise(() => {}) : Promise.resolve("paid");
    world.nowMs += MINUTE_MS;
    expect(await app.workers.charge.runOnce()).toBe(64);
    expect(world.charges).toHaveLength(64);
    // The 63 paid orders have freed their slots; the hanging one has not.
    while (world.notified.length < 63) await get("/orders/1");
    expect(await app.workers.charge.runOnce()).toBe(63);
  });

  test("is retried even if the clock was set back", async () => {
    const { order, userId, world, app } = createService();
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId());
    expect(await app.workers.charge.runOnce()).toBe(0);
    world.nowMs -= 24 * 60 * MINUTE_MS;
    expect(await app.workers.charge.runOnce()).toBe(1);
  });

  test("is retried after a failed poll", async () => {
    const { order, userId, world, app } = createService();
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId());
    world.storeFault = new Error("disk full");
    const ending = new AbortController();
    const running = app.workers.charge.run(ending.signal);
    await turn();
    expect(world.lines.join()).toContain("Error: Polling for due jobs (charge of order) failed");
    world.storeFault = undefined;
    world.nowMs += MINUTE_MS;
    while (world.charges.length < 2) await Bun.sleep(10);
    ending.abort();
    await running;
    expect(world.lines).toContain("Polling for due jobs (charge of order) succeeds again.");
  });

  test.each([
    ["declined", "paid", 0],
    ["paid", "declined", 1],
  ] as const)(
    "recorded as %s is not changed if another attempt returns %s, and the conflict is logged",
    async (recorded, contradicted, notifications) => {
      const { order, get, userId, world, app, resume } = createService();
      const user = await userId();
      const answer = () => Promise.withResolvers<ChargeOutcome>();
      const answers = [answer(), answer()];
      world.charge = () => answers[world.charges.length - 1]?.promise ?? Promise.resolve("paid");
      const first = order(user);
      while (world.charges.length < 1) await Bun.sleep(0);
      await resume();
      await app.workers.charge.runOnce();
      answers[1]?.resolve(recorded);
      await app.idle();
      answers[0]?.resolve(contradicted);
      // The response says what was recorded, as every later one does.
      expect((await first).status).toBe(recorded === "paid" ? 200 : 402);
      await app.idle();
      expect((await get("/orders/1")).body["status"]).toBe(recorded);
      expect(world.notified).toHaveLength(notifications);
      expect(world.lines.join()).toContain(
        `Error: Order 1 is ${recorded}, but the provider says ${contradicted}.`,
      );
    },
  );

  test("that is settled late starts a new backoff for its notification", async () => {
    const { order, userId, world, app, dependencies } = createService();
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId());
    for (let attempt = 2; attempt <= 8; attempt++) {
      world.nowMs += 60 * MINUTE_MS + 8000;
      await app.workers.charge.runOnce();
      await app.idle();
    }
    world.charge = async () => "paid";
    world.notify = () => Promise.reject(new Error("busy"));
    world.nowMs += 60 * MINUTE_MS + 8000;
    await app.workers.charge.runOnce();
    await app.idle();
    const [row] = await dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
    expect(row).toMatchObject({ status: "paid", attempts: 1, notifiedAt: null });
    expect((row?.dueAt ?? 0) - world.nowMs).toBeLessThanOrEqual(16_000);
  });

  test("is due immediately after a restart", async () => {
    const { order, userId, world, app, resume } = createService();
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId());
    expect(await app.workers.charge.runOnce()).toBe(0);
    await resume();
    expect(await app.workers.charge.runOnce()).toBe(1);
  });

  test("is taken over by the next process even if its first poll fails, but orders being charged are not", async () => {
    const { order, userId, world, app, dependencies } = createService();
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId());
    for (let attempt = 2; attempt <= 4; attempt++) {
      world.nowMs += MINUTE_MS * 5;
      await app.workers.charge.runOnce();
      await app.idle();
    }
    const next = createServiceOn(dependencies);
    const user = await userId("+998901234568");
    world.storeFault = new Error("disk full");
    const ending = new AbortController();
    const running = next.app.workers.charge.run(ending.signal);
    await turn();
    ending.abort();
    await running;
    world.storeFault = undefined;
    const answer = Promise.withResolvers<"paid">();
    world.charge = () => answer.promise;
    world.charges.length = 0;
    const ordering = next.order(user);
    while (world.charges.length < 1) await turn();
    // On PostgreSQL nothing is taken over: another instance may be waiting for the provider.
    expect(await next.app.workers.charge.runOnce()).toBe(dependencies.store.isShared ? 0 : 1);
    expect(world.charges.filter(({ payer }) => payer === "+998901234568")).toHaveLength(1);
    answer.resolve("paid");
    expect((await ordering).status).toBe(200);
    await next.app.idle();
  });

  test("that a retry has settled is returned as paid, even if the first attempt fails", async () => {
    const { order, userId, world, app, resume } = createService();
    const user = await userId();
    const answers = [Promise.withResolvers<"paid">(), Promise.withResolvers<"paid">()];
    world.charge = () => answers[world.charges.length - 1]?.promise ?? Promise.resolve("paid");
    const first = order(user);
    while (world.charges.length < 1) await Bun.sleep(0);
    await resume();
    await app.workers.charge.runOnce();
    answers[1]?.resolve("paid");
    await app.idle();
    answers[0]?.reject(new Error("502"));
    const { status, body } = await first;
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: "ok", order_id: 1 });
  });

  test("that a retry has settled keeps the lease of its notification when the first attempt fails", async () => {
    const { order, userId, world, app, dependencies, resume } = createService();
    const user = await userId();
    const first = Promise.withResolvers<"paid">();
    world.charge = () => first.promise;
    const ordering = order(user);
    while (world.charges.length < 1) await Bun.sleep(0);
    const notification = Promise.withResolvers<void>();
    world.notify = () => notification.promise;
    world.charge = async () => "paid";
    await resume();
    await app.workers.charge.runOnce();
    await app.workers.charge.idle();
    const rows = () => dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
    const settled = await rows();
    first.reject(new Error("502"));
    expect((await ordering).status).toBe(200);
    expect(await rows()).toEqual(settled);
    notification.resolve();
    await app.idle();
  });

  test("is recorded once if two attempts race", async () => {
    const { order, get, userId, world, app, resume } = createService();
    const user = await userId();
    const answers = [Promise.withResolvers<"paid">(), Promise.withResolvers<"paid">()];
    world.charge = () => answers[world.charges.length - 1]?.promise ?? Promise.resolve("paid");
    const first = order(user);
    while (world.charges.length < 1) await Bun.sleep(0);
    await resume();
    await app.workers.charge.runOnce();
    answers[1]?.resolve("paid");
    await app.idle();
    expect((await get("/orders/1")).body["status"]).toBe("paid");
    answers[0]?.resolve("paid");
    expect((await first).status).toBe(200);
    await app.idle();
    expect(world.lines.filter((line) => line.startsWith("Error"))).toEqual([]);
  });
});
