import { describe, expect, jest, test } from "bun:test";
import { createNotifyDispatcher } from "../../src/orders/notify-dispatcher.ts";
import { type PaidOrder, Postponed } from "../../src/ports.ts";
import type { Store } from "../../src/store/store.ts";
import { createService, createServiceOn } from "../support/service.ts";
import { openMemoryStore } from "../support/store.ts";
import { createDependencies, createWorld } from "../support/world.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

describe("dispatcher notification", () => {
  test("is sent once, right after the payment", async () => {
    const { order, userId, world, app } = createService();
    await order(await userId());
    await app.idle();
    expect(world.notified).toEqual([1]);
    world.nowMs += MINUTE_MS;
    expect(await app.workers.notify.runOnce()).toBe(0);
  });

  test("is not sent for an order that is declined or in doubt", async () => {
    const { order, userId, world, app } = createService();
    world.charge = async () => "declined";
    await order(await userId("+998901234567"));
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId("+998901234568"));
    world.nowMs += MINUTE_MS;
    expect(await app.workers.notify.runOnce()).toBe(0);
    await app.idle();
    expect(world.notified).toEqual([]);
  });

  test("that fails does not fail the order, and is retried with backoff", async () => {
    const { order, userId, world, app, dependencies } = createService();
    world.notify = () => Promise.reject(new Error("busy"));
    expect((await order(await userId())).status).toBe(200);
    await app.idle();
    const pauses: number[] = [];
    for (let attempt = 2; attempt <= 5; attempt++) {
      const [row] = await dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
      const dueAt = row?.dueAt ?? 0;
      pauses.push((dueAt - world.nowMs) / 1000);
      world.nowMs = dueAt;
      expect(await app.workers.notify.runOnce()).toBe(1);
      await app.idle();
    }
    expect(pauses).toEqual([1, 16, 81, 256]);
    world.notify = async () => {};
    world.nowMs += 60 * MINUTE_MS;
    await app.workers.notify.runOnce();
    await app.idle();
    expect(world.notified).toEqual(Array(6).fill(1));
    world.nowMs += 60 * MINUTE_MS;
    expect(await app.workers.notify.runOnce()).toBe(0);
  });

  test("that hangs does not delay notifications of other orders", async () => {
    const { order, userId, world, app, dependencies } = createService();
    world.notify = (orderId) => (orderId === 1 ? new Promise(() => {}) : Promise.resolve());
    await order(await userId("+998901234567"));
    await order(await userId("+998901234568"));
    const orders = () =>
      dependencies.store.run((tx) =>
        tx.select().from(tx.tables.orders).orderBy(tx.tables.orders.id),
      );
    while ((await orders())[1]?.notifiedAt === null) await Bun.sleep(0);
    expect(world.notified).toEqual([1, 2]);
    // Order 1 is claimed again, but not notified twice: its first call is still running.
    world.nowMs += MINUTE_MS;
    expect(await app.workers.notify.runOnce()).toBe(1);
    expect(world.notified).toEqual([1, 2]);
  });

  test("is sent for at most 64 orders at a time", async () => {
    const { order, register, world, app } = createService();
    const release = Promise.withResolvers<void>();
    world.notify = () => release.promise;
    for (let i = 0; i < 80; i++) {
      await order((await register(`+99890${1_000_000 + i}`)).body["user_id"]);
    }
    expect(world.notified).toHaveLength(64);
    // More than 64 are in the queue, so none is claimed although all are due.
    world.nowMs += MINUTE_MS;
    expect(await app.workers.notify.runOnce()).toBe(0);
    world.nowMs -= MINUTE_MS;
    release.resolve();
    while (world.notified.length < 80) await Bun.sleep(0);
  });

  /** Returns a function that notifies the dispatcher under a lease that ends in `leftMs`. */
  function notifyWithin(leftMs: number) {
    const { dependencies, world } = createService();
    const notify = createNotifyDispatcher({
      ...dependencies,
      cutoff: new AbortController().signal,
    });
    const notification = {
      ...{ orderId: 1, attempt: 1, dueAt: world.nowMs + leftMs },
      ...{ amountTiyin: 30_000, tariffTitle: "Standard", statusAt: world.nowMs },
      ...{ paymentKey: "p", payer: "+998901234567" },
    };
    return {
      world,
      /** Resolves to the error as a string, or "none". */
      notify: () => notify(notification).then(() => "none", String),
    };
  }

  test.each([
    ["is sent if its lease ends in 2500 ms", 2500, "none", 1],
    ["is postponed if its lease ends sooner", 2499, "Postponed: the notification waited", 0],
  ])("%s", async (_what, leftMs, error, calls) => {
    const { world, notify } = notifyWithin(leftMs);
    expect(await notify()).toStartWith(error);
    expect(world.notified).toHaveLength(calls);
  });

  test("contains the amount, the tariff and the time of the payment, even if it is retried", async () => {
    const world = createWorld();
    const notified: PaidOrder[] = [];
    const notify = (paid: PaidOrder) => {
      notified.push(paid);
      return Promise.reject(new Error("busy"));
    };
    const given = createDependencies(world);
    const { order, userId, app } = createServiceOn({ ...given, dispatcher: { notify } });
    world.charge = async () => {
      world.nowMs += 100;
      return "paid";
    };
    await order(await userId());
    const paidAt = world.nowMs;
    await app.idle();
    world.nowMs += 1000;
    await app.workers.notify.runOnce();
    await app.idle();
    const paid = { orderId: 1, amountTiyin: 30_000, tariffTitle: "Standard", paidAt };
    expect(notified).toEqual([paid, paid]);
  });

  test("times out after 5 s", async () => {
    const { world, notify } = notifyWithin(6000);
    const signals: AbortSignal[] = [];
    world.notify = (_orderId, { signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    };
    jest.useFakeTimers();
    try {
      const notifying = notify();
      jest.advanceTimersByTime(4999);
      expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
      jest.advanceTimersByTime(1);
      expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
      expect(await notifying).toContain("no answer within 5000 ms");
    } finally {
      jest.useRealTimers();
    }
  });

  test("is recorded with the next transaction instead of a separate commit", async () => {
    const world = createWorld();
    const commits = { count: 0 };
    const given = createDependencies(world);
    const store = openMemoryStore({
      startCommit: () => () => void (commits.count += 1),
      countBatch: () => {},
    });
    const { order, userId, app } = createServiceOn({ ...given, store });
    const user = await userId();
    await app.idle();
    commits.count = 0;
    // Recording may wait for 5 ms, which a busy machine may need for the turns below.
    jest.useFakeTimers();
    try {
      await order(user);
      for (let count = 0; count < 10; count++) await turn();
    } finally {
      jest.useRealTimers();
    }
    expect(world.notified).toEqual([1]);
    // One inserts the order, the other settles it.
    expect(commits.count).toBe(2);
    await store.ping();
    await app.idle();
    expect(commits.count).toBe(3);
    expect(await store.read((tx) => tx.select().from(tx.tables.orders))).toMatchObject([
      { notifiedAt: world.nowMs },
    ]);
    await store.close();
  });

  test("is repeated if the process ends before recording it", async () => {
    const { order, userId, world, app, resume } = createService();
    world.notify = async () => {
      // The disk fails after the notification, before it is recorded.
      world.storeFault = new Error("full");
    };
    await order(await userId());
    await app.idle();
    world.storeFault = undefined;
    world.notify = async () => {};
    await resume();
    await app.workers.notify.runOnce();
    await app.idle();
    expect(world.notified).toEqual([1, 1]);
  });

  test("is not repeated if it was recorded but the acknowledgement was lost", async () => {
    const { userId, world, dependencies } = createService();
    const user = await userId();
    const batch: Store["batch"] = (work, canWait) => {
      const add = dependencies.store.batch(work, canWait);
      if (canWait !== true) return add;
      return (item) => add(item).then(() => Promise.reject(new Error("the connection was lost")));
    };
    const store = { ...dependencies.store, batch };
    const { order, app } = createServiceOn({ ...dependencies, store });
    await order(user);
    await app.idle();
    expect(world.lines.join()).toContain("the connection was lost");
    expect(world.lines.join()).not.toContain("Could not reschedule");
    world.nowMs += MINUTE_MS;
    expect(await app.workers.notify.runOnce()).toBe(0);
    expect(world.notified).toEqual([1]);
  });

  test("that succeeds triggers all waiting notifications, including those of an earlier process", async () => {
    const { order, userId, world, app, dependencies } = createService();
    world.notify = () => Promise.reject(new Error("403"));
    await order(await userId("+998901234567"));
    await order(await userId("+998901234568"));
    await app.idle();
    await failUntil(8, world, app, dependencies);
    const next = createServiceOn(dependencies);
    world.notify = async () => {};
    world.notified.length = 0;
    expect(await next.app.workers.notify.runOnce()).toBe(0);
    await next.order(await next.userId("+998901234569"));
    await next.app.idle();
    expect(await next.app.workers.notify.runOnce()).toBe(2);
    await next.app.idle();
    expect(world.notified.toSorted()).toEqual([1, 2, 3]);
  });

  test("that is running is not repeated by another instance when other notifications succeed", async () => {
    const { order, userId, world, app, dependencies } = createService();
    // An instance's clock may be slightly behind.
    const copy = createServiceOn({ ...dependencies, now: () => world.nowMs - 900 });
    const answer = Promise.withResolvers<void>();
    world.notify = (orderId) => (orderId === 1 ? answer.promise : Promise.resolve());
    await order(await userId("+998901234567"));
    await copy.order(await userId("+998901234568"));
    await copy.app.idle();
    expect(await copy.app.workers.notify.runOnce()).toBe(0);
    world.nowMs += 900;
    expect(await copy.app.workers.notify.runOnce()).toBe(0);
    answer.resolve();
    await app.idle();
    expect(world.notified.toSorted()).toEqual([1, 2]);
  });

  test("that fails is retried with backoff even while other notifications succeed", async () => {
    const { order, userId, world, app } = createService({ ORDERS_PER_USER_PER_HOUR: "0" });
    world.notify = (orderId) =>
      orderId === 1 ? Promise.reject(new Error("400")) : Promise.resolve();
    const user = await userId();
    for (let minute = 0; minute < 180; minute++) {
      await order(user, { "idempotency-key": `${minute}` });
      await app.idle();
      await app.workers.notify.runOnce();
      await app.idle();
      world.nowMs += MINUTE_MS;
    }
    const calls = world.notified.filter((orderId) => orderId === 1).length;
    // The backoff alone makes 8 calls; a retry after each success would make 180.
    expect(calls).toBeGreaterThan(5);
    expect(calls).toBeLessThan(20);
  });

  test("that is postponed is sent after the pause, without a warning or a counted attempt", async () => {
    const { order, userId, world, app, dependencies } = createService();
    world.notify = () => Promise.reject(new Postponed("429", 30_000));
    await order(await userId());
    await app.idle();
    const rows = () => dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
    expect(await rows()).toMatchObject([{ attempts: 0, dueAt: world.nowMs + 30_000 }]);
    world.nowMs += 30_000;
    expect(await app.workers.notify.runOnce()).toBe(1);
    await app.idle();
    expect(await rows()).toMatchObject([{ attempts: 0, dueAt: world.nowMs + 30_000 }]);
    expect(world.lines.filter((line) => line.startsWith("Warning"))).toEqual([]);
    world.notify = async () => {};
    world.nowMs += 29_999;
    expect(await app.workers.notify.runOnce()).toBe(0);
    world.nowMs += 1;
    expect(await app.workers.notify.runOnce()).toBe(1);
    await app.idle();
    expect(await rows()).toMatchObject([{ attempts: 1, notifiedAt: world.nowMs }]);
  });

  test("that is postponed waits its time, although another one was sent before", async () => {
    const { order, userId, world, app } = createService();
    await order(await userId("+998901234567"));
    await app.idle();
    world.notify = () => Promise.reject(new Postponed("429", 30_000));
    await order(await userId("+998901234568"));
    await app.idle();
    expect(await app.workers.notify.runOnce()).toBe(0);
    expect(world.notified).toEqual([1, 2]);
  });

  test("that fails is retried once another was sent, even if a later one waited too long in the queue", async () => {
    const { order, userId, world, app, dependencies } = createSerialService();
    world.notify = () => Promise.reject(new Error("403"));
    await order(await userId("+998901234567"));
    await app.idle();
    await failUntil(8, world, app, dependencies);
    world.notify = async () => {};
    await order(await userId("+998901234568"));
    await app.idle();
    const slow = Promise.withResolvers<void>();
    world.notify = (orderId) => (orderId === 3 ? slow.promise : Promise.resolve());
    for (const n of [3, 4]) await order(await userId(`+99890123457${n}`));
    await turn();
    world.nowMs += 5000;
    slow.reject(new Error("busy"));
    await app.idle();
    world.notified.length = 0;
    expect(await app.workers.notify.runOnce()).toBe(2);
    await app.idle();
    expect(world.notified.toSorted()).toEqual([1, 4]);
  });

  test("is sent one at a time to a serial dispatcher, and waiting is not a failed attempt", async () => {
    const { order, userId, world, app, dependencies } = createSerialService();
    const first = Promise.withResolvers<void>();
    world.notify = (orderId) => (orderId === 1 ? first.promise : Promise.resolve());
    for (let n = 1; n <= 4; n++) await order(await userId(`+99890123456${n}`));
    await turn();
    expect(world.notified).toEqual([1]);
    world.nowMs += 5000;
    first.reject(new Error("hangs"));
    await app.idle();
    expect(world.notified).toEqual([1]);
    expect(await app.workers.notify.runOnce()).toBe(3);
    await app.idle();
    expect(world.notified.toSorted()).toEqual([1, 2, 3, 4]);
    expect(world.lines.filter((line) => line.startsWith("Warning"))).toHaveLength(1);
    const rows = await dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
    expect(rows.map(({ attempts }) => attempts)).toEqual([1, 1, 1, 1]);
  });

  test("that is being sent when the service stops is recorded, and no other begins", async () => {
    const { order, userId, world, app, dependencies } = createSerialService();
    const first = Promise.withResolvers<void>();
    world.notify = () => first.promise;
    for (let n = 1; n <= 3; n++) await order(await userId(`+99890123456${n}`));
    await turn();
    const drained = app.drain();
    await turn();
    first.resolve();
    await drained;
    expect(world.notified).toEqual([1]);
    expect(world.lines.filter((line) => /^(Warning|Error)/.test(line))).toEqual([]);
    const rows = await dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
    expect(rows.filter(({ notifiedAt }) => notifiedAt !== null)).toMatchObject([{ id: 1 }]);
    expect(await createServiceOn(dependencies).app.workers.notify.runOnce()).toBe(2);
  });

  test("is sent after a restart even if its retry was scheduled by a clock that was ahead", async () => {
    const { order, userId, world, app, dependencies } = createService();
    world.notify = () => Promise.reject(new Error("403"));
    world.nowMs += 2 * DAY_MS;
    await order(await userId());
    await app.idle();
    world.nowMs -= 2 * DAY_MS;
    world.notify = async () => {};
    const next = createServiceOn(dependencies);
    expect(await next.app.workers.notify.runOnce()).toBe(1);
    await next.app.idle();
    expect(world.notified).toEqual([1, 1]);
  });
});

/** Creates a service whose dispatcher takes one notification at a time. */
function createSerialService() {
  const world = createWorld();
  const given = createDependencies(world);
  const service = createServiceOn({
    ...given,
    dispatcher: { ...given.dispatcher, isSerial: true },
  });
  return { world, ...service };
}

/** Waits one turn of the event loop, in which all work that needs no timer finishes. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Runs due notifications repeatedly until each order has this many failed attempts. */
async function failUntil(
  attempts: number,
  world: ReturnType<typeof createWorld>,
  { workers, idle }: ReturnType<typeof createService>["app"],
  { store }: ReturnType<typeof createService>["dependencies"],
) {
  for (;;) {
    const rows = await store.run((tx) => tx.select().from(tx.tables.orders));
    if (rows.every((row) => row.attempts >= attempts)) return;
    world.nowMs = Math.max(...rows.map(({ dueAt }) => dueAt ?? 0));
    await workers.notify.runOnce();
    await idle();
  }
}
