import { describe, expect, jest, test } from "bun:test";
import type { Lease } from "../src/orders/give-back-lease.ts";
import { createNotifyDispatcher } from "../src/orders/notify-dispatcher.ts";
import { createService } from "./support/service.ts";

const MINUTE_MS = 60_000;

describe("the dispatcher", () => {
  test("hears of a paid order right after it is paid, and of it once where all goes well", async () => {
    const { order, userId, world, app } = createService();
    await order(await userId());
    await app.idle();
    expect(world.notified).toEqual([1]);
    world.nowMs += MINUTE_MS;
    expect(await app.workers.notify.runOnce()).toBe(0);
  });

  test("hears of no order that is declined or in doubt", async () => {
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

  test("who does not answer fails no customer's order, and is told again when it is due", async () => {
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

  test("who can't be told of one order is told of the others", async () => {
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
    // The one that hangs is in hand: it is claimed, but not told a second time meanwhile.
    world.nowMs += MINUTE_MS;
    expect(await app.workers.notify.runOnce()).toBe(1);
    expect(world.notified).toEqual([1, 2]);
  });

  test("is told of at most 64 orders at a time", async () => {
    const { order, register, world } = createService();
    const release = Promise.withResolvers<void>();
    world.notify = () => release.promise;
    for (let i = 0; i < 80; i++) {
      await order((await register(`+99890${1_000_000 + i}`)).body["user_id"]);
    }
    expect(world.notified).toHaveLength(64);
    release.resolve();
    while (world.notified.length < 80) await Bun.sleep(0);
  });

  test("who does not answer at all is given up after 5 s, and the order is given back", async () => {
    const { dependencies, world } = createService();
    const signals: AbortSignal[] = [];
    world.notify = (_orderId, { signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    };
    const givenBack: Lease[] = [];
    const notify = createNotifyDispatcher({
      ...dependencies,
      giveBackLease: async (lease) => givenBack.push(lease),
    });
    const lease = {
      ...{ orderId: 1, status: "paid" as const, attempt: 1, dueAt: world.nowMs + 6000 },
      ...{ amountTiyin: 30_000, tariffTitle: "Standard", paidAt: world.nowMs },
    };
    jest.useFakeTimers();
    try {
      const notifying = notify(lease);
      jest.advanceTimersByTime(4999);
      expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
      jest.advanceTimersByTime(1);
      expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
      await notifying;
      expect(givenBack).toEqual([lease]);
    } finally {
      jest.useRealTimers();
    }
  });

  test("is told again, not never, where the process ends before it has noted that he was", async () => {
    const { order, userId, world, app, resume } = createService();
    world.notify = async () => {
      // The disk fails between the telling and the noting.
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
});
