import { describe, expect, test } from "bun:test";
import { createChangeStage, type StageChangeRequest } from "../../src/orders/change-stage.ts";
import type { ChargeOutcome } from "../../src/ports.ts";
import type { Stage } from "../../src/store/schema.ts";
import { createService, createServiceOn } from "../support/service.ts";
import { openStore } from "../support/store.ts";
import { createDependencies, createWorld } from "../support/world.ts";

const key = (idempotencyKey: string) => ({ "idempotency-key": idempotencyKey });

/** Creates a payment provider whose calls return once the test calls `answer`. */
function createSlowProvider() {
  const answer = Promise.withResolvers<ChargeOutcome>();
  const called = Promise.withResolvers<void>();
  return {
    charge: () => {
      called.resolve();
      return answer.promise;
    },
    called: called.promise,
    answer: answer.resolve,
  };
}

type Transition = Pick<StageChangeRequest, "seen" | "change">;

function transition(verb: "accept" | "start" | "complete" | "undo", seen: Stage): Transition {
  return { seen, change: { verb } };
}

function cancel(seen: Stage): Transition {
  return { seen, change: { verb: "cancel", reason: "customer", note: null, isMoneyOwed: true } };
}

/** Creates a service with a paid order of the default user that has made these transitions. */
async function orderAfter(
  transitions: readonly Transition[],
  headers: Record<string, string> = {},
) {
  const service = createService();
  await service.order(await service.userId(), headers);
  await service.app.idle();
  const changeStage = createChangeStage(service.dependencies);
  for (const one of transitions) {
    const outcome = await changeStage({ orderId: 1, actor: "A", ...one });
    expect(outcome).toEqual({ kind: "done" });
  }
  return service;
}

describe("repeat with the same Idempotency-Key", () => {
  test("gets the same 200, marked as replayed, and charges nothing", async () => {
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

  test("gets the same 402, and charges nothing", async () => {
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

  test("is answered even if the tariff has become inactive", async () => {
    const { order, userId, dependencies } = createService();
    const user = await userId();
    await order(user, key("a"));
    await dependencies.store.run((tx) => tx.update(tx.tables.tariffs).set({ active: false }));
    expect((await order(user, key("a"))).status).toBe(200);
    expect((await order(user, key("b"))).body["code"]).toBe("tariff_not_found");
  });

  test("may have the key in quotes", async () => {
    const { order, userId, world } = createService();
    const user = await userId();
    await order(user, key("a"));
    expect((await order(user, key('"a"'))).body["order_id"]).toBe(1);
    expect(world.charges).toHaveLength(1);
  });

  test("for a different tariff is refused", async () => {
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

  test("by a different user is a new order", async () => {
    const { order, userId } = createService();
    await order(await userId("+998901234567"), key("a"));
    const { body } = await order(await userId("+998901234568"), key("a"));
    expect(body["order_id"]).toBe(2);
  });

  test("of a cancelled order is answered with that order", async () => {
    const { order, userId, world } = await orderAfter([cancel("new")], key("a"));
    const again = await order(await userId(), key("a"));
    expect([again.status, again.body["order_id"]]).toEqual([200, 1]);
    expect(world.charges).toHaveLength(1);
  });
});

describe("Idempotency-Key", () => {
  test.each(["", " ", "a b", "x".repeat(256), '""', "ключ", "a,b c", '"a"b"', '"a', '"', '"""'])(
    "%j is refused",
    async (invalid) => {
      const { order, userId, world } = createService();
      const user = await userId();
      const headers = new Headers();
      // One header character per UTF-8 byte, as clients send it.
      headers.set("idempotency-key", Buffer.from(invalid).toString("latin1"));
      const { status, body } = await order(user, Object.fromEntries(headers));
      expect([status, body["code"]]).toEqual([400, "invalid_idempotency_key"]);
      expect(world.charges).toEqual([]);
    },
  );

  test.each(["a", "x".repeat(255), `"${"x".repeat(255)}"`, 'a"b', "!~"])(
    "%j is accepted",
    async (valid) => {
      const { order, userId } = createService();
      expect((await order(await userId(), key(valid))).status).toBe(200);
    },
  );
});

describe("repeat without a key", () => {
  test("gets the paid order of the same user and tariff within the window", async () => {
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

  test("uses the currently configured window", async () => {
    const { order, userId, world, dependencies } = createService({ ORDER_REPEAT_WINDOW_S: "3600" });
    const user = await userId();
    await order(user);
    const later = createServiceOn(dependencies, { ORDER_REPEAT_WINDOW_S: "120" });
    world.nowMs += 119_999;
    expect((await later.order(user)).body["order_id"]).toBe(1);
    world.nowMs += 1;
    expect((await later.order(user)).body["order_id"]).not.toBe(1);
  });

  test("is a new order if the clock was set back by the window or more", async () => {
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
    ["cancelled after acceptance", [transition("accept", "new"), cancel("accepted")]],
    ["completed", [transition("accept", "new"), transition("complete", "accepted")]],
  ] as const)(
    "of an order that was %s is a new order, paid and notified",
    async (_how, transitions) => {
      const { order, userId, world, app, get } = await orderAfter(transitions);
      const again = await order(await userId());
      expect([again.status, again.body["order_id"]]).not.toEqual([200, 1]);
      expect(again.headers.get("idempotent-replayed")).toBeNull();
      await app.idle();
      expect(world.charges).toHaveLength(2);
      expect(world.notified).toEqual([1, Number(again.body["order_id"])]);
      // The next request repeats the new order.
      const third = await order(await userId());
      expect(third.body["order_id"]).toBe(again.body["order_id"]);
      expect((await get("/orders/1")).body["status"]).toBe("paid");
    },
  );

  test.each([
    ["accepted", [transition("accept", "new")]],
    ["in progress", [transition("accept", "new"), transition("start", "accepted")]],
    ["reopened by undo", [cancel("new"), transition("undo", "cancelled")]],
  ] as const)("of an order that is %s is answered with that order", async (_how, transitions) => {
    const { order, userId, world } = await orderAfter(transitions);
    const again = await order(await userId());
    expect([again.status, again.body["order_id"]]).toEqual([200, 1]);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect(world.charges).toHaveLength(1);
  });

  test("gets a reopened order once the newer order is cancelled", async () => {
    const { order, userId, world, dependencies } = await orderAfter([cancel("new")]);
    const user = await userId();
    const changeStage = createChangeStage(dependencies);
    const change = (orderId: number, one: Transition) =>
      changeStage({ orderId, actor: "A", ...one });
    const newer = Number((await order(user)).body["order_id"]);
    await change(1, transition("undo", "cancelled"));
    expect((await order(user)).body["order_id"]).toBe(newer);
    await change(newer, cancel("new"));
    world.nowMs += 119_999;
    for (const again of [await order(user), await order(user)]) {
      expect([again.status, again.body["order_id"]]).toEqual([200, 1]);
      expect(again.headers.get("idempotent-replayed")).toBe("true");
    }
    expect(world.charges).toHaveLength(2);
    world.nowMs += 1;
    expect([1, newer]).not.toContain((await order(user)).body["order_id"]);
    expect(world.charges).toHaveLength(3);
  });

  test("of a pending order is answered with that order, even a day later", async () => {
    const { order, userId, world } = createService();
    const user = await userId();
    world.charge = async () => Promise.reject(new Error("502"));
    await order(user);
    world.nowMs += 86_400_000;
    const { status, body } = await order(user);
    expect([status, body["order_id"]]).toEqual([202, 1]);
    expect(world.charges).toHaveLength(1);
  });

  test("never matches a keyed order, or vice versa", async () => {
    const { order, userId } = createService();
    const user = await userId();
    const answers = [await order(user, key("a")), await order(user), await order(user, key("b"))];
    expect(answers.map(({ body }) => body["order_id"])).toEqual([1, 2, 3]);
  });

  test("never matches an order for a different tariff or by a different user", async () => {
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

  test("is a new order if the window is 0", async () => {
    const { order, userId } = createService({ ORDER_REPEAT_WINDOW_S: "0" });
    const user = await userId();
    await order(user);
    expect((await order(user)).body["order_id"]).toBe(2);
  });

  test("never matches a declined order: it is not in the index of repeatable orders", async () => {
    const { order, userId, dependencies, world } = createService();
    const user = await userId();
    world.charge = async () => "declined";
    await order(user);
    await order(user, key("a"));
    const rows = await dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
    expect(rows.map(({ repeatable }) => repeatable)).toEqual([false, false]);
  });
});

describe("30 simultaneous requests", () => {
  test.each([
    ["with one key", key("a")],
    ["without a key", {}],
  ])("%s create one order and one charge, and get the same response", async (_how, headers) => {
    const { order, userId, world, dependencies } = createService();
    const user = await userId();
    const provider = createSlowProvider();
    world.charge = provider.charge;
    const all = Promise.all(Array.from({ length: 30 }, () => order(user, headers)));
    await provider.called;
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

describe("repeat during the payment", () => {
  test("does not wait if a retry has settled the order", async () => {
    // The first attempt's timeout is longer than any test runs.
    const { order, userId, world, app } = createService({ PAYMENT_TIMEOUT_MS: "120000" });
    const user = await userId();
    const provider = createSlowProvider();
    world.charge = provider.charge;
    const first = order(user, key("a"));
    await provider.called;
    world.charge = async () => "paid";
    world.nowMs += 180_000;
    await app.workers.charge.runOnce();
    await app.idle();
    expect((await order(user, key("a"))).status).toBe(200);
    provider.answer("paid");
    expect((await first).status).toBe(200);
  });

  test.each(["paid", "declined"] as const)(
    "waits for the payment and gets its outcome: %s",
    async (outcome) => {
      const { order, userId, world } = createService();
      const user = await userId();
      const provider = createSlowProvider();
      world.charge = provider.charge;
      const first = order(user, key("a"));
      await provider.called;
      const second = order(user, key("a"));
      // This request passes through the store after the second, so the second is waiting by now.
      await order(user + 1, {});
      provider.answer(outcome);
      const [one, two] = await Promise.all([first, second]);
      expect(two.status).toBe(outcome === "paid" ? 200 : 402);
      expect(two.body["order_id"]).toBe(one.body["order_id"]);
      expect(two.headers.get("idempotent-replayed")).toBe("true");
    },
  );

  test("gets 202 if the payment is in doubt", async () => {
    const { order, userId, world } = createService({ PAYMENT_TIMEOUT_MS: "20" });
    const user = await userId();
    world.charge = () => new Promise(() => {});
    const answers = await Promise.all([order(user), order(user)]);
    expect(answers.map(({ status }) => status)).toEqual([202, 202]);
    const replayed = answers.map(({ headers }) => headers.get("idempotent-replayed"));
    expect(replayed).toEqual([null, "true"]);
  });

  test("gets 202 at once if an earlier process was killed during the payment", async () => {
    const environment = { PAYMENT_TIMEOUT_MS: "120000" };
    // On PostgreSQL, another instance may be charging the order.
    const dependencies = { ...createDependencies(createWorld()), store: openStore() };
    const { order, userId } = createServiceOn(dependencies, environment);
    const user = await userId();
    const provider = createSlowProvider();
    const killed = { ...dependencies, payment: provider };
    void createServiceOn(killed, environment).order(user);
    await provider.called;
    const repeat = await order(user);
    expect([repeat.status, repeat.body["order_id"]]).toEqual([202, 1]);
    expect(repeat.headers.get("idempotent-replayed")).toBe("true");
  });

  test("gets 202 if the result of the payment can't be stored", async () => {
    const { post, userId, world, dependencies } = createService({ PAYMENT_TIMEOUT_MS: "200" });
    const { store } = dependencies;
    const user = await userId();
    const provider = createSlowProvider();
    world.charge = provider.charge;
    const order = (address?: string) =>
      post("/create_order", { user_id: user, tariff_code: "standard_300", address });
    const first = order();
    await provider.called;
    const second = order("Chilonzor 5");
    // Once its address is stored, it waits for the first.
    const orders = () => store.read((tx) => tx.select().from(tx.tables.orders));
    while ((await orders())[0]?.address !== "Chilonzor 5");
    await store.close();
    provider.answer("paid");
    const answers = await Promise.all([first, second]);
    // The order is on disk, so its id is more useful to the client than an error.
    expect(answers.map(({ status, body }) => [status, body["order_id"]])).toEqual([
      [202, 1],
      [202, 1],
    ]);
    expect(world.lines.join("\n")).toContain("Error: Could not record that order 1 is paid.");
    expect(world.notified).toEqual([]);
  });
});
