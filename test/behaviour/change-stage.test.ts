import { describe, expect, test } from "bun:test";
import { eventsOfOrder } from "../../src/orders/event-queries.ts";
import { createChangeStage, type StageChange } from "../../src/orders/change-stage.ts";
import type { Stage } from "../../src/store/schema.ts";
import { createService } from "../support/service.ts";

const MINUTE_MS = 60_000;

const CANCEL: StageChange = { verb: "cancel", reason: "area", note: "too far", isMoneyOwed: true };

/** Creates a paid order with id 1, and helpers that act as a dispatcher. */
async function paidOrder() {
  const service = createService();
  const { userId, order, get, world, dependencies } = service;
  await order(await userId());
  await service.app.idle();
  const changeStage = createChangeStage(dependencies);
  const transition = (
    verb: StageChange | "accept" | "start" | "complete" | "undo",
    seen: Stage,
    actor = "A",
    seenAt?: number,
  ) =>
    changeStage({
      orderId: 1,
      actor,
      ...{ seen, seenAt },
      change: typeof verb === "string" ? { verb } : verb,
    });
  const readOrder = async () => (await get("/orders/1")).body;
  const enteredAt = async () => Date.parse(String((await readOrder())["stage_at"]));
  const events = async () => {
    const rows = await dependencies.store.read((tx) => eventsOfOrder(tx, { orderId: 1 }));
    return rows.map(({ actor, kind, fromStage, toStage }) => [actor, kind, fromStage, toStage]);
  };
  return { ...service, transition, readOrder, enteredAt, events, world };
}

describe("stage of a paid order", () => {
  test("goes from new to accepted, in progress and completed, with an event per transition", async () => {
    const { transition, readOrder, events, world } = await paidOrder();
    expect(await readOrder()).toMatchObject({ stage: "new", refund: null, cancel_reason: null });
    world.nowMs += MINUTE_MS;
    expect(await transition("accept", "new")).toEqual({ kind: "done" });
    expect(await readOrder()).toMatchObject({
      stage: "accepted",
      stage_at: new Date(world.nowMs).toISOString(),
    });
    expect(await transition("start", "accepted", "B")).toEqual({ kind: "done" });
    expect(await transition("complete", "in_progress")).toEqual({ kind: "done" });
    expect((await readOrder())["stage"]).toBe("completed");
    expect(await events()).toEqual([
      ["A", "accept", "new", "accepted"],
      ["B", "start", "accepted", "in_progress"],
      ["A", "complete", "in_progress", "completed"],
    ]);
  });

  test.each([
    ["start", "new"],
    ["complete", "new"],
    ["undo", "new"],
    [{ verb: "refund", reference: "r-1" }, "new"],
  ] as const)("can't change from new with the action %j", async (verb, seen) => {
    const { transition, readOrder, events } = await paidOrder();
    expect(await transition(verb, seen)).toEqual({ kind: "no_such_transition" });
    expect((await readOrder())["stage"]).toBe("new");
    expect(await events()).toEqual([]);
  });

  test("is changed once: the second dispatcher gets stage_changed with the first one's event", async () => {
    const { transition, readOrder, events, world } = await paidOrder();
    await transition("accept", "new", "A");
    world.nowMs += MINUTE_MS;
    const second = await transition(CANCEL, "new", "B");
    expect(second).toMatchObject({
      kind: "stage_changed",
      last: { actor: "A", kind: "accept", at: world.nowMs - MINUTE_MS },
    });
    expect((await readOrder())["stage"]).toBe("accepted");
    expect(await events()).toHaveLength(1);
  });

  test("is changed by exactly one of two simultaneous dispatchers in 100 races", async () => {
    const { transition, userId, order, dependencies, app } = await paidOrder();
    const changeStage = createChangeStage(dependencies);
    expect(await transition("accept", "new")).toEqual({ kind: "done" });
    for (let n = 0; n < 100; n++) {
      const number = `+99890${String(1_000_000 + n)}`;
      const { body } = await order(await userId(number));
      const orderId = Number(body["order_id"]);
      const both = await Promise.all(
        ["A", "B"].map((actor) =>
          changeStage({ orderId, actor, seen: "new", change: { verb: "accept" } }),
        ),
      );
      expect(both.map(({ kind }) => kind).toSorted()).toEqual(["done", "stage_changed"]);
    }
    await app.idle();
  });

  test("changes once on a double tap within a minute", async () => {
    const { transition, events, world } = await paidOrder();
    await transition("accept", "new");
    world.nowMs += MINUTE_MS - 1;
    expect(await transition("accept", "new")).toEqual({ kind: "done" });
    world.nowMs += 1;
    expect((await transition("accept", "new")).kind).toBe("stage_changed");
    expect(await events()).toHaveLength(1);
  });

  test.each([
    ["reason", { ...CANCEL, reason: "other" }],
    ["note", { ...CANCEL, note: null }],
    ["refund decision", { ...CANCEL, isMoneyOwed: false }],
  ] as const)(
    "is not changed by a repeated cancellation with another %s, which gets stage_changed",
    async (_what, corrected) => {
      const { transition, readOrder, events } = await paidOrder();
      await transition(CANCEL, "new");
      expect(await transition(CANCEL, "new")).toEqual({ kind: "done" });
      expect(await transition(corrected, "new")).toMatchObject({
        kind: "stage_changed",
        last: { actor: "A", kind: "cancel", reason: "area", note: "too far" },
      });
      expect(await readOrder()).toMatchObject({ refund: "owed", cancel_reason: "area" });
      expect(await events()).toHaveLength(1);
    },
  );

  test("is not changed by a repeated refund with another reference, which gets stage_changed", async () => {
    const { transition, events } = await paidOrder();
    await transition(CANCEL, "new");
    const refund = (reference: string) => transition({ verb: "refund", reference }, "cancelled");
    expect([await refund("r-1"), await refund("r-1")]).toEqual([
      { kind: "done" },
      { kind: "done" },
    ]);
    expect(await refund("r-2")).toMatchObject({ kind: "stage_changed", last: { note: "r-1" } });
    expect(await events()).toHaveLength(2);
  });

  test("is not changed by a late repeat after others left and re-entered the stage", async () => {
    const { transition, readOrder, enteredAt, world } = await paidOrder();
    await transition("accept", "new");
    const seenAt = await enteredAt();
    world.nowMs += 1000;
    expect(await transition("undo", "accepted", "A", seenAt)).toEqual({ kind: "done" });
    world.nowMs += 1000;
    await transition("accept", "new", "B");
    const repeat = await transition("undo", "accepted", "A", seenAt);
    expect(repeat).toMatchObject({ kind: "stage_changed", last: { actor: "B", kind: "accept" } });
    expect((await readOrder())["stage"]).toBe("accepted");
    expect(await transition("undo", "accepted", "B", await enteredAt())).toEqual({ kind: "done" });
  });

  test("is not refunded by a form of an earlier cancellation", async () => {
    const { transition, readOrder, enteredAt, world } = await paidOrder();
    await transition(CANCEL, "new");
    const seenAt = await enteredAt();
    world.nowMs += MINUTE_MS;
    await transition("undo", "cancelled", "B");
    await transition(CANCEL, "new", "B");
    const refund: StageChange = { verb: "refund", reference: "r-1" };
    expect((await transition(refund, "cancelled", "A", seenAt)).kind).toBe("stage_changed");
    expect((await readOrder())["refund"]).toBe("owed");
    expect(await transition(refund, "cancelled", "A", await enteredAt())).toEqual({ kind: "done" });
  });

  test("can be cancelled with a reason; the refund is owed, then given", async () => {
    const { transition, readOrder } = await paidOrder();
    expect(await transition(CANCEL, "new")).toEqual({ kind: "done" });
    expect(await readOrder()).toMatchObject({
      stage: "cancelled",
      refund: "owed",
      cancel_reason: "area",
      status: "paid",
    });
    expect((await transition({ verb: "refund", reference: "r-0" }, "new", "B")).kind).toBe(
      "stage_changed",
    );
    expect((await readOrder())["refund"]).toBe("owed");
    expect(await transition({ verb: "refund", reference: "r-1" }, "cancelled")).toEqual({
      kind: "done",
    });
    expect((await readOrder())["refund"]).toBe("given");
    expect(await transition({ verb: "refund", reference: "r-2" }, "cancelled", "B")).toEqual({
      kind: "no_such_transition",
    });
    expect(await transition("undo", "cancelled")).toEqual({ kind: "no_such_transition" });
  });

  test("can be cancelled without a refund", async () => {
    const { transition, readOrder } = await paidOrder();
    await transition({ ...CANCEL, isMoneyOwed: false }, "new");
    expect((await readOrder())["refund"]).toBeNull();
  });

  test("can be undone once, within 10 minutes", async () => {
    const { transition, readOrder, world } = await paidOrder();
    await transition("accept", "new");
    await transition(CANCEL, "accepted");
    world.nowMs += 10 * MINUTE_MS - 1;
    expect(await transition("undo", "cancelled", "B")).toEqual({ kind: "done" });
    expect(await readOrder()).toMatchObject({
      stage: "accepted",
      refund: null,
      cancel_reason: null,
    });
    expect(await transition("undo", "accepted")).toEqual({ kind: "no_such_transition" });
    await transition("start", "accepted");
    world.nowMs += 10 * MINUTE_MS;
    expect(await transition("undo", "in_progress")).toEqual({ kind: "no_such_transition" });
  });
});

describe("transition recorded while the clock was ahead", () => {
  test("has an older stage_at than each later one, so that webhook receivers accept them", async () => {
    const { transition, readOrder, world } = await paidOrder();
    const times: unknown[] = [];
    const read = async () => times.push((await readOrder())["stage_at"]);
    await read();
    for (const [verb, seen] of [
      ["accept", "new"],
      ["start", "accepted"],
      ["undo", "in_progress"],
      ["complete", "accepted"],
    ] as const) {
      // The clock is set back before the second transition, and stands still before the others.
      if (verb === "start") world.nowMs -= 60 * MINUTE_MS;
      expect(await transition(verb, seen)).toEqual({ kind: "done" });
      await read();
    }
    expect(times).toEqual(times.toSorted());
    expect(new Set(times).size).toBe(5);
  });

  test("can't be undone until the clock has caught up", async () => {
    const { transition, world } = await paidOrder();
    await transition("accept", "new");
    world.nowMs -= MINUTE_MS;
    expect(await transition("undo", "accepted")).toEqual({ kind: "no_such_transition" });
    world.nowMs += 11 * MINUTE_MS - 1;
    expect(await transition("undo", "accepted")).toEqual({ kind: "done" });
  });

  test("does not turn a later tap into a double tap", async () => {
    const { transition, world } = await paidOrder();
    await transition("accept", "new");
    world.nowMs -= 30_000;
    expect(await transition("accept", "new")).toMatchObject({ kind: "stage_changed" });
  });

  test("counts as current if the clocks of two instances differ by 5 s", async () => {
    const { transition, world } = await paidOrder();
    await transition("accept", "new");
    world.nowMs -= 5000;
    expect(await transition("accept", "new")).toEqual({ kind: "done" });
    expect(await transition("undo", "accepted")).toEqual({ kind: "done" });
  });
});

test("changing the stage of an unpaid or unknown order returns order_not_found", async () => {
  const service = createService();
  const { userId, order, get, dependencies } = service;
  service.world.charge = async () => "declined";
  await order(await userId());
  const changeStage = createChangeStage(dependencies);
  for (const orderId of [1, 99]) {
    const outcome = await changeStage({
      orderId,
      actor: "A",
      seen: "new",
      change: { verb: "accept" },
    });
    expect(outcome).toEqual({ kind: "order_not_found" });
  }
  expect((await get("/orders/1")).body["stage"]).toBeNull();
});

describe("address and comment", () => {
  const address = "Toshkent,\nChilonzor 9";

  async function serviceWithKey() {
    const service = createService();
    const user = await service.userId();
    const send = (more: object) =>
      service.post(
        "/create_order",
        { user_id: user, tariff_code: "standard_300", ...more },
        { "idempotency-key": "k" },
      );
    const details = async () => {
      const { body } = await service.get("/orders/1");
      const [listed] = Object.values((await service.get(`/users/${user}/orders`)).body);
      expect(listed).toEqual(body);
      return [body["address"], body["comment"]];
    };
    const changeStage = createChangeStage(service.dependencies);
    const accept = () =>
      changeStage({ orderId: 1, actor: "A", seen: "new", change: { verb: "accept" } as const });
    const undo = () =>
      changeStage({ orderId: 1, actor: "A", seen: "accepted", change: { verb: "undo" } as const });
    return { ...service, send, details, accept, undo };
  }

  test("are returned by GET, as null if absent", async () => {
    const { send, details, order, userId, get } = await serviceWithKey();
    expect((await send({ address, comment: "ring twice" })).status).toBe(200);
    expect(await details()).toEqual([address, "ring twice"]);
    const other = await order(await userId("+998907654321"));
    const { body } = await get(`/orders/${other.body["order_id"]}`);
    expect([body["address"], body["comment"]]).toEqual([null, null]);
  });

  test("can be changed by a repeat until a dispatcher accepts the order", async () => {
    const { send, details, accept, undo, app } = await serviceWithKey();
    await send({ address, comment: "ring twice" });
    expect((await send({})).body).not.toHaveProperty("details_ignored");
    const changed = await send({ address: "Nukus 3" });
    expect(changed.body).toEqual({
      status: "ok",
      order_id: 1,
      message: "Order created and payment processed",
    });
    expect(await details()).toEqual(["Nukus 3", "ring twice"]);
    await accept();
    for (const late of [{ address: "elsewhere" }, { comment: "ring once" }]) {
      const { status, body } = await send(late);
      expect([status, body["details_ignored"]]).toEqual([200, true]);
    }
    for (const same of [{}, { address: "Nukus 3" }, { comment: "ring twice", address: null }]) {
      expect((await send(same)).body).not.toHaveProperty("details_ignored");
    }
    expect(await details()).toEqual(["Nukus 3", "ring twice"]);
    await undo();
    for (const change of [{ address: "elsewhere" }, { comment: "knock" }]) {
      expect((await send(change)).body).not.toHaveProperty("details_ignored");
    }
    expect(await details()).toEqual(["elsewhere", "knock"]);
    await app.idle();
  });

  test("can't be changed after a dispatcher has cancelled the new order", async () => {
    const { send, details, dependencies, app } = await serviceWithKey();
    await send({ address });
    const change = { verb: "cancel", reason: "customer", note: null, isMoneyOwed: true } as const;
    await createChangeStage(dependencies)({ orderId: 1, actor: "A", seen: "new", change });
    const { status, body } = await send({ address: "Nukus 3" });
    expect([status, body["details_ignored"]]).toEqual([200, true]);
    expect(await details()).toEqual([address, null]);
    await app.idle();
  });

  test("can't be changed after a decline, and the 402 has no details_ignored", async () => {
    const { send, details, world } = await serviceWithKey();
    world.charge = async () => "declined";
    await send({ address });
    const { status, body } = await send({ address: "Nukus 3" });
    expect(status).toBe(402);
    expect(body).not.toHaveProperty("details_ignored");
    expect(await details()).toEqual([address, null]);
  });

  test("can be changed while the payment is in doubt", async () => {
    const { send, details, world } = await serviceWithKey();
    world.charge = () => Promise.reject(new Error("502"));
    await send({ address });
    const { status, body } = await send({ address: "Nukus 3" });
    expect([status, body]).toEqual([202, expect.not.objectContaining({ details_ignored: true })]);
    expect(await details()).toEqual(["Nukus 3", null]);
  });

  test.each([
    [{ address: "" }, "address"],
    [{ address: "x".repeat(301) }, "address"],
    [{ address: "a\u0000b" }, "address"],
    [{ address: 5 }, "address"],
    [{ comment: "x".repeat(501) }, "comment"],
    [{ comment: " \n " }, "comment"],
  ])(
    "such as %j are refused with the field's name, and nothing is charged",
    async (more, field) => {
      const { userId, post, world } = createService();
      const user = await userId();
      const { status, body } = await post("/create_order", {
        ...{ user_id: user, tariff_code: "standard_300" },
        ...more,
      });
      expect(status).toBe(422);
      expect(body["errors"]).toMatchObject([{ field }]);
      expect(world.charges).toEqual([]);
    },
  );
});
