import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createApp } from "../../src/app.ts";
import { type PhoneNumber, parsePhoneNumber } from "../../src/users/phone-number.ts";
import { createService } from "../support/service.ts";

const DAY_MS = 86_400_000;

describe("register", () => {
  test("returns the user id", async () => {
    const { register } = createService();
    const { status, body } = await register("+998901234567");
    expect(status).toBe(200);
    expect(body).toEqual({ status: "ok", message: "User registered successfully", user_id: 1 });
  });

  test.each([
    "+998901234567",
    "998901234567",
    "901234567",
    "00998901234567",
    "+998 (90) 123-45-67",
    "90 123 45 67",
    "90-123-45-67",
    " +998901234567 ",
    "+998.90.123.45.67",
    "\u202a+998 90 123 45 67\u202c",
    "\u200e+998901234567",
  ])("treats %p as +998901234567", async (spelling) => {
    const { register, userId } = createService();
    const first = await userId("+998901234567");
    expect((await register(spelling)).body["user_id"]).toBe(first);
  });

  test("parses bare Uzbek numbers of every network as libphonenumber does", () => {
    const networks = Array.from({ length: 100 }, (_, code) => String(code).padStart(2, "0"));
    const national = fc.tuple(fc.constantFrom(...networks), fc.stringMatching(/^\d{7}$/));
    const prefix = fc.constantFrom("+998", "998", "");
    fc.assert(
      fc.property(prefix, national, (before, [network, rest]) => {
        const text = before + network + rest;
        // The space bypasses the fast path, so libphonenumber parses the number.
        expect(parsePhoneNumber(text)).toBe(parsePhoneNumber(`${text} `));
      }),
      { numRuns: 5000, seed: 1 },
    );
  });

  test.each([
    ["+79161234567", "79161234567"],
    ["+12025550123", "0012025550123"],
    ["+8613812345678", "+86 138 1234 5678"],
  ])("accepts the foreign number %p, also written as %p", async (number, spelling) => {
    const { userId } = createService();
    expect(await userId(number)).toBe(await userId(spelling));
  });

  test("creates one user for 50 simultaneous requests in five formats", async () => {
    const { register, dependencies } = createService();
    const spellings = [
      "+998901234567",
      "998901234567",
      "901234567",
      "90 123-45-67",
      "00998901234567",
    ];
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => register(spellings[i % spellings.length])),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200));
    expect(new Set(answers.map(({ body }) => body["user_id"]))).toEqual(new Set([1]));
    expect(await dependencies.store.run((tx) => tx.select().from(tx.tables.users))).toHaveLength(1);
  });

  test("updates the given fields of an existing user and keeps the others", async () => {
    const { register, dependencies } = createService();
    await register("901234567", { chat_id: -5, full_name: "Aziza" });
    await register("901234567", { id: 99, full_name: "Aziza Karimova", chat_id: null });
    await register("901234567");
    const [user] = await dependencies.store.run((tx) => tx.select().from(tx.tables.users));
    expect(user).toMatchObject({ id: 1, chatId: -5, fullName: "Aziza Karimova" });
  });

  test("accepts a name of 200 characters with two UTF-16 units each", async () => {
    const { register, dependencies } = createService();
    const name = "😀".repeat(200);
    expect((await register("901234567", { full_name: name })).status).toBe(200);
    const [user] = await dependencies.store.run((tx) => tx.select().from(tx.tables.users));
    expect(user?.fullName).toBe(name);
  });

  test("merges the fields of simultaneous requests for one user", async () => {
    const { register, get } = createService();
    await Promise.all([
      register("901234567", { full_name: "Aziza" }),
      register("+998901234567", { chat_id: 5 }),
      register("998901234567"),
    ]);
    const { body } = await get("/users?phone_number=901234567");
    expect(body).toMatchObject({ user_id: 1, chat_id: 5, full_name: "Aziza" });
  });

  test("sends one SMS per cooldown", async () => {
    const { register, world } = createService({ SMS_COOLDOWN_S: "60" });
    await Promise.all(Array.from({ length: 30 }, () => register("901234567")));
    expect(world.sms).toEqual(["+998901234567"]);
    world.nowMs += 59_999;
    await register("901234567");
    expect(world.sms).toHaveLength(1);
    world.nowMs += 1;
    await register("901234567");
    expect(world.sms).toHaveLength(2);
  });

  test("sends an SMS if the last attempt was made while the clock was two days ahead", async () => {
    const { register, world } = createService({ SMS_COOLDOWN_S: "60" });
    world.nowMs += 2 * DAY_MS;
    await register("901234567");
    world.nowMs -= 2 * DAY_MS;
    await register("901234567");
    expect(world.sms).toHaveLength(2);
    world.nowMs += 59_999;
    await register("901234567");
    expect(world.sms).toHaveLength(2);
    world.nowMs += 1;
    await register("901234567");
    expect(world.sms).toHaveLength(3);
  });

  test("sends one SMS if the clocks of two instances differ by milliseconds", async () => {
    const { register, world } = createService({ SMS_COOLDOWN_S: "60" });
    await register("901234567");
    world.nowMs -= 20;
    await register("901234567");
    expect(world.sms).toHaveLength(1);
  });

  test("sends every SMS if the cooldown is 0, even if the clock is set back", async () => {
    const { register, world } = createService({ SMS_COOLDOWN_S: "0" });
    await register("901234567");
    world.nowMs -= 1;
    await register("901234567");
    await register("901234567");
    expect(world.sms).toHaveLength(3);
  });

  test("keeps the SMS cooldown after a restart", async () => {
    const { register, world, dependencies } = createService();
    await register("901234567");
    const restarted = createApp(dependencies);
    const body = JSON.stringify({ phone_number: "901234567" });
    const headers = { host: "localhost", "content-type": "application/json" };
    await restarted.http.handle(
      new Request("http://localhost/register", { method: "POST", headers, body }),
    );
    expect(world.sms).toEqual(["+998901234567"]);
  });

  test("returns 200 if the SMS gateway hangs", async () => {
    const { register, world } = createService();
    world.sendCode = () => new Promise(() => {});
    expect((await register("901234567")).status).toBe(200);
    expect(world.sms).toEqual(["+998901234567"]);
  });

  test("returns 200 if the SMS gateway fails, and logs the error with the number masked", async () => {
    const { register, world } = createService();
    world.sendCode = async (number) => Promise.reject(new Error(`no route to ${number}`));
    expect((await register("901234567")).status).toBe(200);
    const lines = world.lines.join("\n");
    expect(lines).toContain("The SMS to +998*****67 was not accepted.");
    expect(lines).toContain("no route to +998*****67");
    expect(lines).not.toContain("901234567");
  });

  test("parses up to nine bare digits as an Uzbek number or refuses them", () => {
    const digits = fc.stringMatching(/^\d{1,9}$/);
    const spelled = fc.tuple(digits, fc.constantFrom("", " ", "-", ".", ")", "\u200e"));
    fc.assert(
      fc.property(spelled, ([bare, between]) => {
        const number = parsePhoneNumber(bare.split("").join(between));
        if (number !== undefined) expect<string>(number).toBe(`+998${bare}`);
      }),
      // Regression: these were parsed as German and Saint Helena numbers.
      {
        numRuns: 5000,
        seed: 1,
        examples: [[["491234567", ""]], [["491234567", " "]], [["29023456", "-"]]],
      },
    );
    expect(parsePhoneNumber("+491234567")).toBe("+491234567" as PhoneNumber);
    expect(parsePhoneNumber("00491234567")).toBe("+491234567" as PhoneNumber);
  });

  test.each([
    "",
    "   ",
    "abc",
    "491234567",
    "49 123 45 67",
    "29023456",
    "call 901234567",
    "901234567 please",
    "90123456",
    "9012345678901234",
    "9".repeat(300),
    "+998901234567 ext. 5",
    "901234567;isub=1",
    "tel:+998901234567",
    "+",
    "++998901234567",
    "+998+901234567",
  ])("refuses the invalid phone number %p and stores nothing", async (text) => {
    const { register, dependencies } = createService();
    const { status, body } = await register(text);
    expect([status, body["code"]]).toEqual([422, "invalid_phone_number"]);
    expect(await dependencies.store.run((tx) => tx.select().from(tx.tables.users))).toHaveLength(0);
  });
});
