import { describe, expect, test } from "bun:test";
import { addUser, allUsers, PENDING, refusal } from "../support/rows.ts";
import { openTestStore } from "../support/store.ts";

// Guarantees of both engines.

describe("transaction", () => {
  test("is atomic", async () => {
    const store = openTestStore();
    const failing = store.run(async (tx) => {
      await addUser("+998900000001")(tx);
      throw new Error("halfway");
    });
    expect(await refusal(failing)).toContain("halfway");
    expect(await store.run(allUsers)).toEqual([]);
  });

  test("that fails does not fail others in its batch", async () => {
    const store = openTestStore();
    const settled = await Promise.allSettled([
      store.run(addUser("+998900000001")),
      store.run(addUser("+998900000001")),
      store.run(addUser("+998900000002")),
      store.run(() => Promise.reject(new Error("refused"))),
    ]);
    const [one, other, ...rest] = settled.map(({ status }) => status);
    // An engine may run them concurrently, so either may succeed.
    expect([one, other].toSorted()).toEqual(["fulfilled", "rejected"]);
    expect(rest).toEqual(["fulfilled", "rejected"]);
    expect(await store.run(allUsers)).toHaveLength(2);
  });
});

test("batch item that fails does not fail the other items", async () => {
  const store = openTestStore();
  const add = store.batch(async (tx, phoneNumbers: readonly string[]) => {
    const drafts = phoneNumbers.map((phoneNumber) => ({
      phoneNumber,
      createdAt: 0,
      smsTriedAt: 0,
    }));
    await tx.insert(tx.tables.users).values(drafts);
    return phoneNumbers;
  });
  const settled = await Promise.allSettled(["+998900000001", "nonsense", "+998900000002"].map(add));
  expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(await store.run(allUsers)).toHaveLength(2);
});

test("batch of one item that fails is not run again", async () => {
  const store = openTestStore();
  let runs = 0;
  const fail = store.batch(async (_tx, _items: readonly number[]): Promise<readonly number[]> => {
    runs += 1;
    throw new Error("refused");
  });
  expect(await refusal(fail(1))).toContain("refused");
  expect(runs).toBe(1);
});

test("batch takes no items once its work has begun", async () => {
  const store = openTestStore();
  const batches: number[][] = [];
  let second: Promise<number> | undefined;
  const echo = store.batch(async (tx, items: readonly number[]) => {
    batches.push([...items]);
    second ??= echo(2);
    await tx.select().from(tx.tables.users);
    return items;
  });
  expect([await echo(1), await second]).toEqual([1, 2]);
  expect(batches).toEqual([[1], [2]]);
});

test("batch rejects if its work returns too few results", async () => {
  const store = openTestStore();
  const forget = store.batch(async (_tx, _items: readonly number[]) => []);
  expect(await refusal(forget(1))).toContain("a batch of 1 items returned 0 results");
});

describe("database", () => {
  test("never reuses an id", async () => {
    const store = openTestStore();
    await store.run(addUser("+998900000001"));
    await store.run((tx) => tx.delete(tx.tables.users));
    expect(await store.run(addUser("+998900000002"))).toMatchObject([{ id: 2 }]);
  });

  test("refuses inconsistent orders", async () => {
    const store = openTestStore();
    await store.run(addUser("+998900000001"));
    const insert = (values: object) =>
      store.run((tx) => tx.insert(tx.tables.orders).values({ ...PENDING, ...values }));
    await insert({});
    for (const inconsistent of [
      { status: "free" },
      { amountTiyin: 0 },
      { amountTiyin: "much" },
      { userId: 2 },
      { tariffCode: "nope" },
      { dueAt: null },
      { settledAt: 5 },
      { status: "paid" },
      { status: "paid", settledAt: 5, dueAt: null },
      { status: "declined", settledAt: 5 },
      { status: "declined", settledAt: 5, dueAt: null, notifiedAt: 5 },
    ]) {
      expect(await refusal(insert(inconsistent))).toMatch(
        /constraint|cannot store|invalid input syntax/,
      );
    }
  });

  test("allows one repeatable order per user and tariff, and one order per key", async () => {
    const store = openTestStore();
    await store.run(addUser("+998900000001"));
    const insert = (values: { idempotencyKey?: string; repeatable?: boolean }) =>
      store.run((tx) =>
        tx
          .insert(tx.tables.orders)
          .values({ ...PENDING, paymentKey: crypto.randomUUID(), ...values }),
      );
    await insert({ idempotencyKey: "a" });
    await insert({ repeatable: true });
    await insert({});
    expect(await refusal(insert({ idempotencyKey: "a" }))).toMatch(/unique/i);
    expect(await refusal(insert({ repeatable: true }))).toMatch(/unique/i);
  });
});
