import { describe, expect, test } from "bun:test";
import { eventsOfOrder } from "../../src/orders/event-queries.ts";
import { createChangeStage, type StageChange } from "../../src/orders/change-stage.ts";
import type { Stage } from "../../src/store/schema.ts";
import { createService } from "../support/service.ts";

const MINUTE_MS = 60_000;

const CANCEL: StageChange = { verb: "cancel", reason: "area", note: "too far", isMoneyOwed: true };

/** A paid order of number 1, and what dispatchers do with it. */
async function paidOrder() {
  const service = createService();
  const { userId, order, get, world, dependencies } = service;
  await order(await userId());
  await service.app.idle();
  const changeStage = createChangeStage(dependencies);
  const work = (
    verb: StageChange | "accept" | "start" | "complete" | "undo",
    seen: Stage,
    actor = "A",
  ) =>
    changeStage({
      orderId: 1,
      actor,
      seen,
      work: typeof verb === "string" ? { verb } : verb,
    });
  const look = async () => (await get("/orders/1")).body;
  const events = async () => {
    const rows = await dependencies.store.read((tx) => eventsOfOrder(tx, { orderId: 1 }));
    return rows.map(({ actor, kind, fromStage, toStage }) => [actor, kind, fromStage, toStage]);
  };
  return { ...service, work, look, events, world };
}

describe("a paid order", () => {
  test("is new, then accepted, in progress, completed, and each step has its event", async () => {
    const { work, look, events, world } = await paidOrder();
    expect(await look()).toMatchObject({ stage: "new", refund: null, cancel_reason: null });
    world.nowMs += MINUTE_MS;
    expect(await work("accept", "new")).toEqual({ kind: "done" });
    expect(await look()).toMatchObject({
      stage: "accepted",
      stage_at: new Date(world.nowMs).toISOString(),
    });
    expect(await work("start", "accepted", "B")).toEqual({ kind: "done" });
    expect(await work("complete", "in_progress")).toEqual({ kind: "done" });
    expect((await look())["stage"]).toBe("completed");
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
  ] as const)("has no step %p from there", async (verb, seen) => {
    const { work, look, events } = await paidOrder();
    expect(await work(verb, seen)).toEqual({ kind: "no_such_step" });
    expect((await look())["stage"]).toBe("new");
    expect(await events()).toEqual([]);
  });

  test("is worked by who comes first; the second hears by whom, and changes nothing", async () => {
    const { work, look, events, world } = await paidOrder();
    await work("accept", "new", "A");
    world.nowMs += MINUTE_MS;
    const second = await work(CANCEL, "new", "B");
    expect(second).toMatchObject({
      kind: "stage_changed",
      stage: "accepted",
      last: { actor: "A", kind: "accept", at: world.nowMs - MINUTE_MS },
    });
    expect((await look())["stage"]).toBe("accepted");
    expect(await events()).toHaveLength(1);
  });

  test("is worked by one of two at the same moment, a hundred times", async () => {
    const { work, userId, order, dependencies, app } = await paidOrder();
    const changeStage = createChangeStage(dependencies);
    expect(await work("accept", "new")).toEqual({ kind: "done" });
    for (let n = 0; n < 100; n++) {
      const number = `+99890${String(1_000_000 + n)}`;
      const { body } = await order(await userId(number));
      const orderId = Number(body["order_id"]);
      const both = await Promise.all(
        ["A", "B"].map((actor) =>
          changeStage({ orderId, actor, seen: "new", work: { verb: "accept" } }),
        ),
      );
      expect(both.map(({ kind }) => kind).toSorted()).toEqual(["done", "stage_changed"]);
    }
    await app.idle();
  });

  test("takes a double tap for one, within a minute", async () => {
    const { work, events, world } = await paidOrder();
    await work("accept", "new");
    world.nowMs += MINUTE_MS - 1;
    expect(await work("accept", "new")).toEqual({ kind: "done" });
    world.nowMs += 1;
    expect((await work("accept", "new")).kind).toBe("stage_changed");
    expect(await events()).toHaveLength(1);
  });

  test("is cancelled with a reason; its money is owed, and then given back by hand", async () => {
    const { work, look } = await paidOrder();
    expect(await work(CANCEL, "new")).toEqual({ kind: "done" });
    expect(await look()).toMatchObject({
      stage: "cancelled",
      refund: "owed",
      cancel_reason: "area",
      status: "paid",
    });
    expect((await work({ verb: "refund", reference: "r-0" }, "new", "B")).kind).toBe(
      "stage_changed",
    );
    expect((await look())["refund"]).toBe("owed");
    expect(await work({ verb: "refund", reference: "r-1" }, "cancelled")).toEqual({ kind: "done" });
    expect((await look())["refund"]).toBe("given");
    expect(await work({ verb: "refund", reference: "r-2" }, "cancelled", "B")).toEqual({
      kind: "no_such_step",
    });
    expect(await work("undo", "cancelled")).toEqual({ kind: "no_such_step" });
  });

  test("is cancelled without money to be given back", async () => {
    const { work, look } = await paidOrder();
    await work({ ...CANCEL, isMoneyOwed: false }, "new");
    expect((await look())["refund"]).toBeNull();
  });

  test("goes one step back within ten minutes, and not two", async () => {
    const { work, look, world } = await paidOrder();
    await work("accept", "new");
    await work(CANCEL, "accepted");
    world.nowMs += 10 * MINUTE_MS - 1;
    expect(await work("undo", "cancelled", "B")).toEqual({ kind: "done" });
    expect(await look()).toMatchObject({ stage: "accepted", refund: null, cancel_reason: null });
    expect(await work("undo", "accepted")).toEqual({ kind: "no_such_step" });
    await work("start", "accepted");
    world.nowMs += 10 * MINUTE_MS;
    expect(await work("undo", "in_progress")).toEqual({ kind: "no_such_step" });
  });
});

describe("a step recorded while the clock was ahead", () => {
  test("can't be undone until the clock has caught up", async () => {
    const { work, world } = await paidOrder();
    await work("accept", "new");
    world.nowMs -= MINUTE_MS;
    expect(await work("undo", "accepted")).toEqual({ kind: "no_such_step" });
    world.nowMs += 11 * MINUTE_MS - 1;
    expect(await work("undo", "accepted")).toEqual({ kind: "done" });
  });

  test("doesn't make a later tap a double tap", async () => {
    const { work, world } = await paidOrder();
    await work("accept", "new");
    world.nowMs -= 30_000;
    expect(await work("accept", "new")).toMatchObject({ kind: "stage_changed" });
  });

  test("counts as now if the clocks of two copies differ by five seconds", async () => {
    const { work, world } = await paidOrder();
    await work("accept", "new");
    world.nowMs -= 5000;
    expect(await work("accept", "new")).toEqual({ kind: "done" });
    expect(await work("undo", "accepted")).toEqual({ kind: "done" });
  });
});

test("an order that is not paid, or none, can't be worked", async () => {
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
      work: { verb: "accept" },
    });
    expect(outcome).toEqual({ kind: "order_not_found" });
  }
  expect((await get("/orders/1")).body["stage"]).toBeNull();
});

describe("an address", () => {
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
    const work = createChangeStage(service.dependencies);
    const accept = () =>
      work({ orderId: 1, actor: "A", seen: "new", work: { verb: "accept" } as const });
    const undo = () =>
      work({ orderId: 1, actor: "A", seen: "accepted", work: { verb: "undo" } as const });
    return { ...service, send, details, accept, undo };
  }

  test("is returned by GET, with the comment, and null if there is none", async () => {
    const { send, details, order, userId, get } = await serviceWithKey();
    expect((await send({ address, comment: "ring twice" })).status).toBe(200);
    expect(await details()).toEqual([address, "ring twice"]);
    const other = await order(await userId("+998907654321"));
    const { body } = await get(`/orders/${other.body["order_id"]}`);
    expect([body["address"], body["comment"]]).toEqual([null, null]);
  });

  test("may be changed by a repeat until a dispatcher accepts the order", async () => {
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
    expect((await send({ address: "elsewhere" })).body).not.toHaveProperty("details_ignored");
    expect(await details()).toEqual(["elsewhere", "ring twice"]);
    await app.idle();
  });

  test("may be changed while the payment is in doubt", async () => {
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
  ])("such as %p is refused by name, and nothing is ordered", async (more, field) => {
    const { userId, post, world } = createService();
    const user = await userId();
    const { status, body } = await post("/create_order", {
      ...{ user_id: user, tariff_code: "standard_300" },
      ...more,
    });
    expect(status).toBe(422);
    expect(body["errors"]).toMatchObject([{ field }]);
    expect(world.charges).toEqual([]);
  });
});
