import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { eq } from "drizzle-orm";
import { createInsertOrder } from "../../src/orders/insert-order.ts";
import { temporaryFolder } from "../support/process.ts";
import { createService, createServiceOn } from "../support/service.ts";
import { openStore } from "../support/store.ts";
import { createDependencies, createWorld } from "../support/world.ts";

describe("create order", () => {
  test("charges the tariff's price to the customer's phone number and returns the order id", async () => {
    const { order, userId, world } = createService();
    const { status, body } = await order(await userId());
    expect(status).toBe(200);
    expect(body).toEqual({
      status: "ok",
      order_id: 1,
      message: "Order created and payment processed",
    });
    expect(world.charges).toEqual([
      {
        orderId: 1,
        amountTiyin: 30_000,
        payer: "+998901234567",
        paymentKey: expect.stringMatching(/^[0-9a-f-]{36}$/),
      },
    ]);
  });

  test("returns 402 with the order id if the provider declines", async () => {
    const { order, get, userId, world } = createService();
    world.charge = async () => "declined";
    const { status, body } = await order(await userId());
    expect(status).toBe(402);
    expect(body).toMatchObject({ code: "payment_declined", order_id: 1 });
    expect((await get("/orders/1")).body["status"]).toBe("declined");
  });

  test("commits the order before it calls the provider, and holds no transaction during the call", async () => {
    const { order, get, userId, world } = createService();
    const seen: unknown[] = [];
    world.charge = async ({ orderId }) => {
      seen.push((await get(`/orders/${orderId}`)).body);
      return "paid";
    };
    await order(await userId());
    expect(seen).toMatchObject([{ order_id: 1, status: "pending", settled_at: null }]);
  });

  test("keeps the price of an order when the tariff changes; the next order gets the new price", async () => {
    const { order, get, userId, dependencies } = createService({ ORDER_REPEAT_WINDOW_S: "0" });
    const user = await userId();
    await order(user);
    await dependencies.store.run((tx) => tx.update(tx.tables.tariffs).set({ priceTiyin: 40_000 }));
    const { body } = await order(user);
    expect((await get("/orders/1")).body["amount_tiyin"]).toBe(30_000);
    expect((await get(`/orders/${body["order_id"]}`)).body["amount_tiyin"]).toBe(40_000);
  });

  test("returns 404 for an unknown user, and writes and charges nothing", async () => {
    const { order, dependencies, world } = createService();
    const { status, body } = await order(1);
    expect([status, body["code"]]).toEqual([404, "user_not_found"]);
    expect(await dependencies.store.run((tx) => tx.select().from(tx.tables.orders))).toEqual([]);
    expect(world.charges).toEqual([]);
  });

  test.each(["", "\u0000", "\ud800", "standard 300", "x".repeat(65)])(
    "refuses the malformed tariff code %j",
    async (code) => {
      const { order, userId } = createService();
      const user = await userId();
      expect((await order(user, {}, code)).body["code"]).toBe("tariff_not_found");
      await order(user, { "idempotency-key": "a" });
      const reused = await order(user, { "idempotency-key": "a" }, code);
      expect([reused.status, reused.body["code"]]).toEqual([422, "idempotency_key_reused"]);
    },
  );

  test("gives up with 503 if the database ignores every insert", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    const { order, userId } = createServiceOn({ ...createDependencies(createWorld()), store });
    const user = await userId();
    using database = new Database(path);
    database.run(
      "CREATE TRIGGER ignore_orders BEFORE INSERT ON orders BEGIN SELECT RAISE(IGNORE); END",
    );
    const { status, body } = await order(user);
    expect([status, body["code"]]).toEqual([503, "unavailable"]);
    database.run("DROP TRIGGER ignore_orders");
    expect((await order(user)).status).toBe(200);
    await store.close();
  });

  test("inserts a batch by user and key, so that the batches of two instances do not deadlock", async () => {
    const { dependencies, userId } = createService();
    const insert = createInsertOrder({ ...dependencies, retryAt: () => 0 });
    const user = await userId("+998901234567");
    const other = await userId("+998901234568");
    const common = { tariffCode: "standard_300", address: null, comment: null, withinLimit: true };
    const inserted = await Promise.all(
      [
        { userId: other, idempotencyKey: "a" },
        { userId: user, idempotencyKey: "b" },
        { userId: user, idempotencyKey: "a" },
      ].map((own) => insert({ ...common, ...own, paymentKey: crypto.randomUUID() })),
    );
    expect(inserted).toMatchObject([{ orderId: 3 }, { orderId: 2 }, { orderId: 1 }]);
  });

  test("returns 404 for an unknown or inactive tariff", async () => {
    const { order, userId, dependencies } = createService();
    const user = await userId();
    expect((await order(user, {}, "nope")).body["code"]).toBe("tariff_not_found");
    await dependencies.store.run((tx) =>
      tx
        .update(tx.tables.tariffs)
        .set({ active: false })
        .where(eq(tx.tables.tariffs.code, "standard_300")),
    );
    const { status, body } = await order(user);
    expect([status, body["code"]]).toEqual([404, "tariff_not_found"]);
  });
});

describe("order lookup", () => {
  test("returns every field of a paid order", async () => {
    const { order, get, userId, world } = createService();
    const user = await userId();
    await order(user);
    expect((await get("/orders/1")).body).toEqual({
      order_id: 1,
      user_id: user,
      tariff_code: "standard_300",
      amount_tiyin: 30_000,
      currency: "UZS",
      status: "paid",
      created_at: new Date(world.nowMs).toISOString(),
      settled_at: new Date(world.nowMs).toISOString(),
      stage: "new",
      stage_at: new Date(world.nowMs).toISOString(),
      refund: null,
      cancel_reason: null,
      address: null,
      comment: null,
    });
  });

  test.each(["2", "0", "-1", "1.5", "abc", "01", "9007199254740992", "1e3", "%31%20", "1x"])(
    "returns 404 for the id %p",
    async (orderId) => {
      const { order, get, userId } = createService();
      await order(await userId());
      const { status, body } = await get(`/orders/${orderId}`);
      expect([status, body["code"]]).toEqual([404, "order_not_found"]);
    },
  );
});

describe("tariffs of a new database", () => {
  test("contain only standard_300, at 300 sum", async () => {
    const { get } = createService();
    const { status, body } = await get("/tariffs");
    expect(status).toBe(200);
    expect(body).toEqual([
      {
        code: "standard_300",
        title: "Standard",
        price_tiyin: 30_000,
        currency: "UZS",
        active: true,
      },
    ] as never);
  });
});
