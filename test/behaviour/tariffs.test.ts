import { describe, expect, test } from "bun:test";
import { createService } from "../support/service.ts";

describe("tariff", () => {
  test("is created by the first PUT and replaced by the next", async () => {
    const { put } = createService();
    const created = await put("/tariffs/gold", { title: "Gold", price_tiyin: 1 });
    expect(created.body).toEqual({
      code: "gold",
      title: "Gold",
      price_tiyin: 1,
      currency: "UZS",
      active: true,
    });
    await put("/tariffs/gold", { title: "Gold", price_tiyin: 2, active: false });
    const again = await put("/tariffs/gold", { title: "Old gold", price_tiyin: 3, active: null });
    expect(again.body).toMatchObject({ title: "Old gold", price_tiyin: 3, active: true });
  });

  test("applies a new price from the next order on, also under concurrent orders", async () => {
    const { put, register, order, get } = createService();
    const placing = Array.from({ length: 40 }, async (_, i) => {
      const { body } = await register(`+99890${1_000_000 + i}`);
      const placed = await order(body["user_id"]);
      return (await get(`/orders/${placed.body["order_id"]}`)).body["amount_tiyin"];
    });
    const change = put("/tariffs/standard_300", { title: "Standard", price_tiyin: 45_000 });
    const amounts = new Set(await Promise.all(placing));
    expect((await change).status).toBe(200);
    expect(Array.from(amounts).filter((amount) => amount !== 30_000 && amount !== 45_000)).toEqual(
      [],
    );
    const next = await order((await register("+998907654321")).body["user_id"]);
    expect((await get(`/orders/${next.body["order_id"]}`)).body["amount_tiyin"]).toBe(45_000);
  });

  test("can't be ordered if it is inactive", async () => {
    const { put, order, userId } = createService();
    const user = await userId();
    await put("/tariffs/standard_300", { title: "Standard", price_tiyin: 1, active: false });
    expect((await order(user)).body["code"]).toBe("tariff_not_found");
  });

  test.each(["a", "A-Z_a.z-0", "x".repeat(64), "...", ".a", "a."])(
    "may have the code %p",
    async (code) => {
      const { put } = createService();
      expect((await put(`/tariffs/${code}`, { title: "T", price_tiyin: 1 })).status).toBe(200);
    },
  );

  test.each([".", ".."])(
    "may not have the code %p: no URL can contain it, and the OpenAPI document excludes it",
    async (code) => {
      const { put, get, order, userId } = createService();
      const answer = await put(`/tariffs/${code}`, { title: "T", price_tiyin: 1 });
      expect([404, 405]).toContain(answer.status);
      expect((await order(await userId(), {}, code)).body["code"]).toBe("tariff_not_found");
      const { body } = await get("/swagger/json");
      const [, pattern = ""] = /"name":"code".*?"pattern":"(.*?)"/.exec(JSON.stringify(body)) ?? [];
      expect(new RegExp(JSON.parse(`"${pattern}"`)).test(code)).toBe(false);
    },
  );

  test.each(["x".repeat(65), "a%20b", "%D0%B0", "a+b", "a%2Fb", "%00", "%zz", "%ff"])(
    "may not have the code %p",
    async (code) => {
      const { put, get } = createService();
      const { status, body } = await put(`/tariffs/${code}`, { title: "T", price_tiyin: 1 });
      expect([status, body["code"]]).toEqual([422, "validation_failed"]);
      expect(body["errors"]).toEqual([
        { field: "code", message: "must be 1 to 64 characters from A-Z a-z 0-9 _ . -" },
      ]);
      expect(JSON.stringify((await get("/tariffs")).body)).not.toContain('"T"');
    },
  );

  test.each([
    [{ title: "T" }, "price_tiyin"],
    [{ title: "T", price_tiyin: 0 }, "price_tiyin"],
    [{ title: "T", price_tiyin: 1.5 }, "price_tiyin"],
    [{ title: "T", price_tiyin: "1" }, "price_tiyin"],
    [{ title: "T", price_tiyin: 10_000_000_000_001 }, "price_tiyin"],
    [{ price_tiyin: 1 }, "title"],
    [{ title: "", price_tiyin: 1 }, "title"],
    [{ title: "T", price_tiyin: 1, active: "yes" }, "active"],
  ])("given as %j is refused", async (tariff, field) => {
    const { put } = createService();
    const { status, body } = await put("/tariffs/gold", tariff);
    expect([status, body["code"]]).toEqual([422, "validation_failed"]);
    expect(body["errors"]).toMatchObject([{ field }]);
  });
});
