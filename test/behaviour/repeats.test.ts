import { describe, expect, test } from "bun:test";
import { createChangeStage, type StageChangeRequest } from "../../src/orders/change-stage.ts";
import type { ChargeOutcome } from "../../src/ports.ts";
import type { Stage } from "../../src/store/schema.ts";
import { createService, createServiceOn } from "../support/service.ts";

const key = (idempotencyKey: string) => ({ "idempotency-key": idempotencyKey });

/** A provider that answers when the test says so. */
function createSlowProvider() {
  const answer = Promise.withResolvers<ChargeOutcome>();
  const asked = Promise.withResolvers<void>();
  return {
    charge: () => {
      asked.resolve();
      return answer.promise;
    },
    asked: asked.promise,
    answer: answer.resolve,
  };
}

type Step = Pick<StageChangeRequest, "seen" | "work">;

function step(verb: "accept" | "start" | "complete" | "undo", seen: Stage): Step {
  return { seen, work: { verb } };
}

function cancel(seen: Stage): Step {
  return { seen, work: { verb: "cancel", reason: "customer", note: null, isMoneyOwed: true } };
}

/** A service with a paid order of the default user, on which a dispatcher has taken these steps. */
async function workedOrder(steps: readonly Step[], headers: Record<string, string> = {}) {
  const service = createService();
  await service.order(await service.userId(), headers);
  await service.app.idle();
  const changeStage = createChangeStage(service.dependencies);
  for (const one of steps) {
    const outcome = await changeStage({ orderId: 1, actor: "A", ...one });
    expect(outcome).toEqual({ kind: "done" });
  }
  return service;
}

describe("a repeat with the same Idempotency-Key", () => {
  test("gets the same 200, says that it is one, and charges nothing", async () => {
    const { order, userId, world } = createService();
    const user = await userId();
    const first = await order(user, key("a"));
    expect(first.headers.get("idempotent-replayed")).toBeNull();
    world.nowMs += 10 * 365 * 86_400_000;
    const again = await order(user, key("a"));
    expect([again.status, again.body]).toEqual([200, first.body]);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect(world.charges).toHaveLength(1);
  });

  test("gets the same 402", async () => {
    const { order, userId, world } = createService();
    const user = await userId();
    world.charge = async () => "declined";
    await order(user, key("a"));
    world.charge = async () => "paid";
    const again = await order(user, key("a"));
    expect([again.status, again.body["order_id"]]).toEqual([402, 1]);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect(world.charges).toHaveLength(1);
  });

  test("is answered also when the tariff is gone by now", async () => {
    const { order, userId, dependencies } = createService();
    const user = await userId();
    await order(user, key("a"));
    await dependencies.store.run((tx) => tx.update(tx.tables.tariffs).set({ active: false }));
    expect((await order(user, key("a"))).status).toBe(200);
    expect((await order(user, key("b"))).body["code"]).toBe("tariff_not_found");
  });

  test("may quote the key: the quotes do not count", async () => {
    const { order, userId, world } = createService();
    const user = await userId();
    await order(user, key("a"));
    expect((await order(user, key('"a"'))).body["order_id"]).toBe(1);
    expect(world.charges).toHaveLength(1);
  });

  test("of another tariff is refused", async () => {
    const { order, userId, dependencies, world } = createService();
    const user = await userId();
    await dependencies.store.run((tx) =>
      tx
        .insert(tx.tables.tariffs)
        .values({ code: "gold", title: "Gold", priceTiyin: 1, active: true }),
    );
    await order(user, key("a"));
    for (const tariff of ["gold", "unknown"]) {
      const { status, body } = await order(user, key("a"), tariff);
      expect([status, body["code"]]).toEqual([422, "idempotency_key_reused"]);
    }
    expect(world.charges).toHaveLength(1);
  });

  test("of another user is another order", async () => {
    const { order, userId } = createService();
    await order(await userId("+998901234567"), key("a"));
    const { body } = await order(await userId("+998901234568"), key("a"));
    expect(body["order_id"]).toBe(2);
  });

  test.each(["", " ", "a b", "x".repeat(256), '""', "ключ", "a,b c", '"a"b"', '"a', '"', '"""'])(
    "needs a key that is one, which %j is not",
    async (unfit) => {
      const { order, userId, world } = createService();
      const user = await userId();
      const headers = new Headers();
      // Sent as its bytes, as a client would.
      headers.set("idempotency-key", Buffer.from(unfit).toString("latin1"));
      const { status, body } = await order(user, Object.fromEntries(headers));
      expect([status, body["code"]]).toEqual([400, "invalid_idempotency_key"]);
      expect(world.charges).toEqual([]);
    },
  );

  test.each(["a", "x".repeat(255), `"${"x".repeat(255)}"`, 'a"b', "!~"])(
    "may have the key %j",
    async (fit) => {
      const { order, userId } = createService();
      expect((await order(await userId(), key(fit))).status).toBe(200);
    },
  );
});

describe("a repeat without a key", () => {
  test("is one of the same user and tariff within the window after a paid order", async () => {
    const { order, userId, world } = createService({ ORDER_REPEAT_WINDOW_S: "120" });
    const user = await userId();
    await order(user);
    world.nowMs += 119_999;
    const again = await order(user);
    expect(again.body["order_id"]).toBe(1);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    world.nowMs += 1;
    const later = await order(user);
    expect(later.body["order_id"]).not.toBe(1);
    expect(later.headers.get("idempotent-replayed")).toBeNull();
    expect((await order(user)).body["order_id"]).toBe(later.body["order_id"]);
    expect(world.charges).toHaveLength(2);
  });

  test("is judged by the window that is set now", async () => {
    const { order, userId, world, dependencies } = createService({ ORDER_REPEAT_WINDOW_S: "3600" });
    const user = await userId();
    await order(user);
    const later = createServiceOn(dependencies, { ORDER_REPEAT_WINDOW_S: "120" });
    world.nowMs += 119_999;
    expect((await later.order(user)).body["order_id"]).toBe(1);
    world.nowMs += 1;
    expect((await later.order(user)).body["order_id"]).not.toBe(1);
  });

  test("is none where the clock was set back by more than the window", async () => {
    const { order, userId, world } = createService({ ORDER_REPEAT_WINDOW_S: "120" });
    const user = await userId();
    await order(user);
    world.nowMs -= 119_999;
    expect((await order(user)).body["order_id"]).toBe(1);
    world.nowMs -= 1;
    expect((await order(user)).body["order_id"]).not.toBe(1);
  });

  test("after a decline is a new order", async () => {
    const { order, userId, world } = createService();
    const user = await userId();
    world.charge = async () => "declined";
    await order(user);
    world.charge = async () => "paid";
    const { status, body } = await order(user);
    expect([status, body["order_id"]]).toEqual([200, 2]);
  });

  test.each([
    ["cancelled", [cancel("new")]],
    ["cancelled after acceptance", [step("accept", "new"), cancel("accepted")]],
    ["completed", [step("accept", "new"), step("complete", "accepted")]],
  ] as const)("of an order that was %s is a new order, paid and notified", async (_how, steps) => {
    const { order, userId, world, app, get } = await workedOrder(steps);
    const again = await order(await userId());
    expect([again.status, again.body["order_id"]]).not.toEqual([200, 1]);
    expect(again.headers.get("idempotent-replayed")).toBeNull();
    await app.idle();
    expect(world.charges).toHaveLength(2);
    expect(world.notified).toEqual([1, Number(again.body["order_id"])]);
    // The new order is the one that the next request repeats.
    const third = await order(await userId());
    expect(third.body["order_id"]).toBe(again.body["order_id"]);
    expect((await get("/orders/1")).body["status"]).toBe("paid");
  });

  test.each([
    ["accepted", [step("accept", "new")]],
    ["in progress", [step("accept", "new"), step("start", "accepted")]],
    ["reopened by undo", [cancel("new"), step("undo", "cancelled")]],
  ] as const)("of an order that is %s is a repeat", async (_how, steps) => {
    const { order, userId, world } = await workedOrder(steps);
    const again = await order(await userId());
    expect([again.status, again.body["order_id"]]).toEqual([200, 1]);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect(world.charges).toHaveLength(1);
  });

  test("of a cancelled order stays a repeat if it has the order's key", async () => {
    const { order, userId, world } = await workedOrder([cancel("new")], key("a"));
    const again = await order(await userId(), key("a"));
    expect([again.status, again.body["order_id"]]).toEqual([200, 1]);
    expect(world.charges).toHaveLength(1);
  });

  test("of a pending order is one however late", async () => {
    const { order, userId, world } = createService();
    const user = await userId();
    world.charge = async () => Promise.reject(new Error("502"));
    await order(user);
    world.nowMs += 86_400_000;
    const { status, body } = await order(user);
    expect([status, body["order_id"]]).toEqual([202, 1]);
    expect(world.charges).toHaveLength(1);
  });

  test("is none of an order with a key, nor the other way round", async () => {
    const { order, userId } = createService();
    const user = await userId();
    const answers = [await order(user, key("a")), await order(user), await order(user, key("b"))];
    expect(answers.map(({ body }) => body["order_id"])).toEqual([1, 2, 3]);
  });

  test("is none of another tariff or another user", async () => {
    const { order, userId, dependencies } = createService();
    await dependencies.store.run((tx) =>
      tx
        .insert(tx.tables.tariffs)
        .values({ code: "gold", title: "Gold", priceTiyin: 1, active: true }),
    );
    const user = await userId("+998901234567");
    const other = await userId("+998901234568");
    const answers = [await order(user), await order(user, {}, "gold"), await order(other)];
    expect(answers.map(({ body }) => body["order_id"])).toEqual([1, 2, 3]);
  });

  test("is none at all where the window is off", async () => {
    const { order, userId } = createService({ ORDER_REPEAT_WINDOW_S: "0" });
    const user = await userId();
    await order(user);
    expect((await order(user)).body["order_id"]).toBe(2);
  });

  test("leaves an entry in the index only where there is something to repeat", async () => {
    const { order, userId, dependencies, world } = createService();
    const user = await userId();
    world.charge = async () => "declined";
    await order(user);
    await order(user, key("a"));
    const rows = await dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
    expect(rows.map(({ repeatable }) => repeatable)).toEqual([false, false]);
  });
});

describe("thirty requests at once", () => {
  test.each([
    ["with one key", key("a")],
    ["without a key", {}],
  ])("%s make one order, one charge and one answer", async (_how, headers) => {
    const { order, userId, world, dependencies } = createService();
    const user = await userId();
    const provider = createSlowProvider();
    world.charge = provider.charge;
    const all = Promise.all(Array.from({ length: 30 }, () => order(user, headers)));
    await provider.asked;
    provider.answer("paid");
    const answers = await all;
    expect(new Set(answers.map(({ status, body }) => `${status} ${body["order_id"]}`))).toEqual(
      new Set(["200 1"]),
    );
    const first = answers.filter(({ headers }) => headers.get("idempotent-replayed") === null);
    expect(first).toHaveLength(1);
    expect(world.charges).toHaveLength(1);
    expect(await dependencies.store.run((tx) => tx.select().from(tx.tables.orders))).toHaveLength(
      1,
    );
  });
});

describe("a repeat while the first is being paid", () => {
  test("does not wait where a retry has settled it meanwhile", async () => {
    const { order, userId, world, app } = createService();
    const user = await userId();
    const provider = createSlowProvider();
    world.charge = provider.charge;
    const first = order(user, key("a"));
    await provider.asked;
    world.charge = async () => "paid";
    world.nowMs += 60_000;
    await app.workers.charge.runOnce();
    await app.idle();
    expect((await order(user, key("a"))).status).toBe(200);
    provider.answer("paid");
    expect((await first).status).toBe(200);
  });

  test.each(["paid", "declined"] as const)("waits for it, and is %s as well", async (outcome) => {
    const { order, userId, world } = createService();
    const user = await userId();
    const provider = createSlowProvider();
    world.charge = provider.charge;
    const first = order(user, key("a"));
    await provider.asked;
    const second = order(user, key("a"));
    // Goes through the store after the second has, so the second is waiting by now.
    await order(user + 1, {});
    provider.answer(outcome);
    const [one, two] = await Promise.all([first, second]);
    expect(two.status).toBe(outcome === "paid" ? 200 : 402);
    expect(two.body["order_id"]).toBe(one.body["order_id"]);
    expect(two.headers.get("idempotent-replayed")).toBe("true");
  });

  test("is in doubt as well, when the first is", async () => {
    const { order, userId, world } = createService({ PAYMENT_TIMEOUT_MS: "20" });
    const user = await userId();
    world.charge = () => new Promise(() => {});
    const answers = await Promise.all([order(user), order(user)]);
    expect(answers.map(({ status }) => status)).toEqual([202, 202]);
    const replayed = answers.map(({ headers }) => headers.get("idempotent-replayed"));
    expect(replayed).toEqual([null, "true"]);
  });

  test("is in doubt as well, when the first's result can't be stored", async () => {
    const { order, userId, world, dependencies } = createService({ PAYMENT_TIMEOUT_MS: "200" });
    const user = await userId();
    const provider = createSlowProvider();
    world.charge = provider.charge;
    const first = order(user);
    await provider.asked;
    const second = order(user);
    await order(user + 1, {});
    await dependencies.store.close();
    provider.answer("paid");
    const answers = await Promise.all([first, second]);
    // The order itself is on disk: its number is worth more to the customer than an error.
    expect(answers.map(({ status, body }) => [status, body["order_id"]])).toEqual([
      [202, 1],
      [202, 1],
    ]);
    expect(world.notified).toEqual([]);
  });
});
