import { describe, expect, test } from "bun:test";
import { createService } from "../support/service.ts";

const CREATED_AT = "2026-11-23T09:30:00.000Z";

describe("user lookup", () => {
  test("finds a user by chat id, and by phone number in any format", async () => {
    const { register, get } = createService();
    await register("+998901234567", { chat_id: -100123, full_name: "Aziza" });
    const user = { user_id: 1, chat_id: -100123, full_name: "Aziza", created_at: CREATED_AT };
    for (const query of [
      "chat_id=-100123",
      "phone_number=901234567",
      "phone_number=%2B998901234567",
      "phone_number=+998901234567",
      "phone_number=00998%2090%20123-45-67&more=1",
    ]) {
      const { status, body } = await get(`/users?${query}`);
      expect([query, status, body]).toEqual([query, 200, user]);
    }
  });

  test("returns null for a missing chat id and name", async () => {
    const { userId, get } = createService();
    await userId();
    expect((await get("/users?phone_number=901234567")).body).toEqual({
      ...{ user_id: 1, chat_id: null, full_name: null, created_at: CREATED_AT },
    });
  });

  test("returns the newest user with the chat id", async () => {
    const { register, get } = createService();
    for (const number of ["901234567", "901234568"]) await register(number, { chat_id: 5 });
    expect((await get("/users?chat_id=5")).body["user_id"]).toBe(2);
  });

  test.each([
    ["chat_id=6", 404, "user_not_found"],
    ["phone_number=907777777", 404, "user_not_found"],
    ["phone_number=abc", 422, "invalid_phone_number"],
    ["", 422, "validation_failed"],
    ["chat_id=", 422, "validation_failed"],
    ["chat_id=1.5", 422, "validation_failed"],
    ["chat_id=1e3", 422, "validation_failed"],
    ["chat_id=9007199254740992", 422, "validation_failed"],
    ["chat_id=5&phone_number=901234567", 422, "validation_failed"],
  ])("with ?%s returns %d %s", async (query, status, code) => {
    const { register, get } = createService();
    await register("901234567", { chat_id: 5 });
    const answer = await get(`/users?${query}`);
    expect([answer.status, answer.body["code"]]).toEqual([status, code]);
  });
});

describe("list of a user's orders", () => {
  async function serviceWithOrders(count: number) {
    const service = createService({ ORDERS_PER_USER_PER_HOUR: "0" });
    const [own, other] = [await service.userId(), await service.userId("+998907777777")];
    for (let at = 0; at < count; at++) {
      await service.order(own, at % 2 === 0 ? { "idempotency-key": `${9 - at}` } : {});
      await service.order(other, { "idempotency-key": `${at}` });
      service.world.nowMs += 3_600_000;
    }
    const list = async (query = "") => {
      const { status, body } = await service.get(`/users/${own}/orders${query}`);
      // `as`: the client has checked that the response is a list, as documented.
      return { status, body, ids: Array.from(body as unknown as { order_id: number }[], idOf) };
    };
    return { ...service, list };
  }
  const idOf = ({ order_id }: { order_id: number }) => order_id;

  test("has only that user's orders, newest first, with the fields of GET /orders/{id}", async () => {
    const { list, get } = await serviceWithOrders(3);
    const { status, body, ids } = await list();
    expect([status, ids]).toEqual([200, [5, 3, 1]]);
    const [newest] = Array.from(body as unknown as object[]);
    expect(newest).toEqual((await get("/orders/5")).body);
  });

  test("has pages of at most 50", async () => {
    const { list } = await serviceWithOrders(51);
    const { ids } = await list();
    expect(ids).toEqual(ids.toSorted((a, b) => b - a));
    expect(ids).toHaveLength(50);
    expect((await list(`?before=${ids.at(-1)}`)).ids).toEqual([1]);
    expect((await list("?limit=2")).ids).toEqual(ids.slice(0, 2));
    expect((await list(`?before=${ids[1]}&limit=2`)).ids).toEqual(ids.slice(2, 4));
    expect((await list("?before=1")).ids).toEqual([]);
  });

  test("is empty for a user without orders, and a 404 for an unknown user", async () => {
    const { userId, get } = createService();
    await userId();
    // `as`: an empty list.
    expect((await get("/users/1/orders")).body as unknown).toEqual([]);
    for (const unknownId of ["2", "0", "abc", "1.0", "9007199254740992"]) {
      const { status, body } = await get(`/users/${unknownId}/orders`);
      expect([unknownId, status, body["code"]]).toEqual([unknownId, 404, "user_not_found"]);
    }
  });

  test.each([
    ["limit=0", "limit", "must be a whole number from 1 to 50"],
    ["limit=51", "limit", "must be a whole number from 1 to 50"],
    ["limit=", "limit", "must be a whole number from 1 to 50"],
    ["before=x", "before", "must be a whole number from 1 to 9007199254740991"],
  ])("refuses ?%s", async (query, field, message) => {
    const { userId, get } = createService();
    const { status, body } = await get(`/users/${await userId()}/orders?${query}`);
    expect([status, body["code"]]).toEqual([422, "validation_failed"]);
    expect(body["errors"]).toEqual([{ field, message }]);
  });
});
