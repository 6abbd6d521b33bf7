import { describe, expect, test } from "bun:test";
import { hasVisibleCharacter } from "../../src/lib/format.ts";
import { LINES, ONE_LINE } from "../../src/http/schemas.ts";
import { createService } from "../support/service.ts";

const JSON_TYPE = { "content-type": "application/json" };

describe("request body", () => {
  const ID = "must be a whole number from 1 to 9007199254740991";
  const NAME =
    "must be a string of 1 to 200 characters, not blank, without control or bidirectional control characters";
  const CHAT = "must be a whole number from -9007199254740991 to 9007199254740991";
  const phone_number = "+998901234567";

  test.each([
    ["/register", {}, { phone_number: "is missing" }],
    ["/register", { phone_number: null }, { phone_number: "must be a string" }],
    ["/register", { phone_number: 901234567 }, { phone_number: "must be a string" }],
    ["/register", { phone_number: ["+998901234567"] }, { phone_number: "must be a string" }],
    ["/register", { phone_number, chat_id: "5" }, { chat_id: CHAT }],
    ["/register", { phone_number, chat_id: 2 ** 53 }, { chat_id: CHAT }],
    ["/register", { phone_number, chat_id: 1.5 }, { chat_id: CHAT }],
    ["/register", { phone_number, full_name: "" }, { full_name: NAME }],
    ["/register", { phone_number, full_name: "a".repeat(201) }, { full_name: NAME }],
    ["/register", { phone_number, full_name: "\ud800" }, { full_name: NAME }],
    ["/register", { phone_number, full_name: " \u00a0\u200b" }, { full_name: NAME }],
    ["/register", { phone_number, full_name: "Aziza\nKarimova" }, { full_name: NAME }],
    ["/register", { phone_number, full_name: "Aziza\u0000" }, { full_name: NAME }],
    ["/register", { phone_number, full_name: "\u007fAziza" }, { full_name: NAME }],
    ["/register", { phone_number, full_name: "Aziza\u0085" }, { full_name: NAME }],
    ["/register", { phone_number, full_name: 5 }, { full_name: NAME }],
    [
      "/register",
      { phone_number: { toString: 1, valueOf: 1 } },
      { phone_number: "must be a string" },
    ],
    ["/register", [], { body: "must be a JSON object" }],
    ["/register", null, { body: "must be a JSON object" }],
    ["/register", "5", { body: "must be a JSON object" }],
    ["/register", '"text"', { body: "must be a JSON object" }],
    ["/create_order", {}, { user_id: "is missing", tariff_code: "is missing" }],
    [
      "/create_order",
      { user_id: 1.5, tariff_code: 300 },
      { user_id: ID, tariff_code: "must be a string" },
    ],
    ["/create_order", { user_id: -1, tariff_code: "standard_300" }, { user_id: ID }],
    ["/create_order", { user_id: 0, tariff_code: "standard_300" }, { user_id: ID }],
    ["/create_order", { user_id: 2 ** 53, tariff_code: "standard_300" }, { user_id: ID }],
    ["/create_order", { user_id: "1", tariff_code: "standard_300" }, { user_id: ID }],
    ["/create_order", { user_id: null, tariff_code: "standard_300" }, { user_id: ID }],
    ["/create_order", { user_id: true, tariff_code: "standard_300" }, { user_id: ID }],
    ["/create_order", '{"user_id":1e999,"tariff_code":"standard_300"}', { user_id: ID }],
    ["/create_order", { user_id: 1, tariff_code: null }, { tariff_code: "must be a string" }],
  ])(
    "of %s %j is refused with validation_failed and changes nothing",
    async (path, body, expected) => {
      const { post, userId, dependencies, world } = createService();
      await userId("+998909999999");
      const { status, body: answer, headers } = await post(path, body);
      expect([status, answer["code"]]).toEqual([422, "validation_failed"]);
      expect(headers.get("content-type")).toBe("application/problem+json");
      expect(answer["errors"]).toEqual(
        Object.entries(expected).map(([field, message]) => ({ field, message })),
      );
      expect(await dependencies.store.run((tx) => tx.select().from(tx.tables.users))).toHaveLength(
        1,
      );
      expect(await dependencies.store.run((tx) => tx.select().from(tx.tables.orders))).toHaveLength(
        0,
      );
      expect(world.charges).toEqual([]);
    },
  );

  test.each(["", "{", "{'a':1}", "phone_number=901234567", "\u0000", '{"a":1}x', "undefined"])(
    "%j is refused with invalid_json",
    async (text) => {
      const { post } = createService();
      const { status, body } = await post("/register", text);
      expect([status, body["code"]]).toEqual([400, "invalid_json"]);
    },
  );

  test("over 16 KiB is refused with body_too_large, with or without Content-Length", async () => {
    const { post, request } = createService();
    const body = JSON.stringify({ phone_number: "+998901234567", filler: "x".repeat(16 * 1024) });
    const declared = await post("/register", body, { "content-length": String(body.length) });
    expect([declared.status, declared.body["code"]]).toEqual([413, "body_too_large"]);
    const stream = new Blob([body]).stream();
    const counted = await request("/register", {
      method: "POST",
      headers: JSON_TYPE,
      body: stream,
    });
    expect([counted.status, counted.body["code"]]).toEqual([413, "body_too_large"]);
  });

  test("just under 16 KiB is accepted", async () => {
    const { request } = createService();
    const filler = "x".repeat(16 * 1024 - 50);
    const body = new Blob([JSON.stringify({ phone_number: "+998901234567", filler })]).stream();
    const { status } = await request("/register", { method: "POST", headers: JSON_TYPE, body });
    expect(status).toBe(200);
  });

  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "",
    "application/jsonp",
    "application/json; charset=windows-1251",
    'application/json; a="b;c"; Charset="utf-16"',
    "application/json; charset=",
  ])("with Content-Type %p is refused with unsupported_media_type", async (type) => {
    const { post } = createService();
    const { status, body } = await post(
      "/register",
      { phone_number: "+998901234567" },
      { "content-type": type },
    );
    expect([status, body["code"]]).toEqual([415, "unsupported_media_type"]);
  });

  test.each(["gzip", "br", "x, identity"])(
    "with Content-Encoding %s is refused with unsupported_media_type",
    async (encoding) => {
      const { post } = createService();
      const { status, body } = await post(
        "/register",
        { phone_number: "+998901234567" },
        { "content-encoding": encoding },
      );
      expect([status, body["code"]]).toEqual([415, "unsupported_media_type"]);
    },
  );

  test("that is not UTF-8 is refused with invalid_json, with or without Content-Length", async () => {
    const { request, dependencies } = createService();
    const latin1 = Buffer.from(
      `{"phone_number":"+998901234567","full_name":"Az\u00efza"}`,
      "latin1",
    );
    for (const body of [latin1, new Blob([latin1]).stream()]) {
      const refused = await request("/register", { method: "POST", headers: JSON_TYPE, body });
      expect([refused.status, refused.body["code"]]).toEqual([400, "invalid_json"]);
    }
    expect(await dependencies.store.run((tx) => tx.select().from(tx.tables.users))).toEqual([]);
  });

  test("may start with a byte order mark", async () => {
    const { post } = createService();
    expect((await post("/register", '\ufeff{"phone_number":"+998901234567"}')).status).toBe(200);
  });

  test.each([
    "application/json; charset=utf-8",
    'application/json;charset="UTF8"',
    "Application/JSON",
    "application/json ;a=b",
  ])("with Content-Type %p is accepted", async (type) => {
    const { post } = createService();
    const { status } = await post(
      "/register",
      { phone_number: "+998901234567" },
      { "content-type": type },
    );
    expect(status).toBe(200);
  });
});

describe("free text", () => {
  const KEYS = { API_KEY: "client", ADMIN_API_KEY: "owner" };
  const owner = { "x-api-key": "owner" };
  const phone_number = "+998901234567";

  /** Returns the statuses of requests that store the text as a name, address, comment and title. */
  async function statusesOf(text: string) {
    const { post, put } = createService(KEYS);
    const user = { user_id: 1, tariff_code: "standard_300" };
    await post("/register", { phone_number }, owner);
    const answers = await Promise.all([
      post("/register", { phone_number, full_name: text }, owner),
      post("/create_order", { ...user, address: text }, owner),
      post("/create_order", { ...user, comment: text }, owner),
      put("/tariffs/new", { title: text, price_tiyin: 1 }, owner),
    ]);
    return answers.map(({ status }) => status);
  }

  /** Pairs each text with its code points, because invisible characters do not show in titles. */
  const withCodePoints = (texts: readonly string[]) =>
    texts.map((text): [string, string] => [
      Array.from(
        text,
        (one) => `U+${one.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}`,
      ).join(" "),
      text,
    ]);

  test.each(
    withCodePoints([
      "\u202a",
      "\u202b",
      "\u202c",
      "\u202d",
      "\u202e",
      "\u2066",
      "\u2067",
      "\u2068",
      "\u2069",
      "\u200e",
      "\u200f",
      "\u061c",
    ]),
  )("with the bidirectional control %s is refused", async (_name, control) => {
    for (const text of [control, `Aziza ${control}`, `${control}Aziza`, `علی${control} رضا`]) {
      expect(await statusesOf(text)).toEqual([422, 422, 422, 422]);
    }
  });

  test.each(withCodePoints(["\u206a", "\u206f", "\ufff9", "\ufffa", "\ufffb"]))(
    "with the format control %s is refused",
    async (_name, control) => {
      expect(await statusesOf(`Aziza${control}Karimova`)).toEqual([422, 422, 422, 422]);
    },
  );

  test.each(withCodePoints(["\n", "\t", "\u2028", "\u2029"]))(
    "with the line break or tab %s is refused in names and titles, but accepted in addresses and comments",
    async (_name, character) => {
      expect(await statusesOf(`Aziza${character}Karimova`)).toEqual([422, 200, 200, 422]);
    },
  );

  test.each(
    withCodePoints([
      "\u115f",
      "\u1160",
      "\u3164",
      "\uffa0",
      "\u2800",
      "\ufe0f",
      "\ufe00\u180b",
      "\u{e0100}",
      "\u{e0001}\u{e0041}\u{e007f}",
      "\u200b\u200c\u200d\u2060\ufeff",
      "\u034f",
      "\u00ad",
      "\u180e",
      "\u17b4\u17b5",
      "\u{1d159}\u{1d173}",
      "\u{1bca0}",
      "\u{13441}",
      "\u0301\u0301",
      "\u064b",
      "\u0e31",
      "\u093e",
      "\u{11080}\u{11082}",
      "\u3000 \u2003\u00a0",
    ]),
  )("without a visible character is refused: %s", async (_name, text) => {
    expect(await statusesOf(text)).toEqual([422, 422, 422, 422]);
  });

  test.each([
    "Oʻgʻiloy Gʻaniyeva",
    "O‘g‘iloy",
    "Юлия Щеглова",
    "Й",
    "علی‌رضا محمدی",
    "מִרְיָם",
    "สมชาย",
    "किरण",
    "김철수",
    "👩‍🔧",
    "❤️",
    "1️⃣",
    "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "葛\u{e0100}城",
    ".",
    `N${"\u0301".repeat(150)}`,
  ])("with a visible character is accepted: %j", async (text) => {
    expect(await statusesOf(text)).toEqual([200, 200, 200, 200]);
  });

  test("pattern in the OpenAPI document matches the same with and without the u flag", () => {
    // The other planes contain no blank characters.
    const planes = [
      ...Array(0x20000).keys(),
      ...Array.from(Array(0x1002).keys(), (n) => 0xdffff + n),
    ];
    const characters = planes
      .map((one) => String.fromCodePoint(one))
      .filter((one) => one.isWellFormed());
    for (const pattern of [ONE_LINE, LINES]) {
      const [units, codePoints] = [new RegExp(pattern), new RegExp(pattern, "u")];
      const differences = characters.filter((one) =>
        [one, `${one}a`, `\u{e0041}${one}`].some(
          (text) => units.test(text) !== codePoints.test(text),
        ),
      );
      // Except combining marks: the pattern covers those of some scripts, the service those of all.
      const contradictions = characters.filter(
        (one) => units.test(one) !== hasVisibleCharacter(one) && !/\p{M}/u.test(one),
      );
      expect([differences, contradictions]).toEqual([[], []]);
    }
  });
});

describe("routing", () => {
  test("an unknown path returns 404 as JSON for every method", async () => {
    const { request } = createService();
    for (const method of ["GET", "POST", "PUT", "DELETE"]) {
      const { status, body } = await request("/nope", { method });
      expect([status, body["code"]]).toEqual([404, "not_found"]);
    }
  });

  test.each([
    ["GET", "/register", "POST, OPTIONS"],
    ["PUT", "/create_order", "POST, OPTIONS"],
    ["DELETE", "/create_order", "POST, OPTIONS"],
    ["POST", "/orders/1", "GET, HEAD, OPTIONS"],
    ["PATCH", "/tariffs", "GET, HEAD, OPTIONS"],
    ["POST", "/", "GET, HEAD, OPTIONS"],
  ])("%s %s returns 405 with the allowed methods", async (method, path, allow) => {
    const { request } = createService();
    const { status, body, headers } = await request(path, { method });
    expect([status, body["code"], headers.get("allow")]).toEqual([
      405,
      "method_not_allowed",
      allow,
    ]);
  });
});

describe("error response", () => {
  test("has the fields of RFC 9457 and the request id", async () => {
    const { post } = createService();
    const { headers, body } = await post(
      "/create_order",
      { user_id: 5, tariff_code: "x" },
      { "x-request-id": "bot-5_A" },
    );
    expect(body).toEqual({
      type: "about:blank",
      title: "Not Found",
      status: 404,
      detail: "There is no such user.",
      code: "user_not_found",
      request_id: "bot-5_A",
    });
    expect(headers.get("x-request-id")).toBe("bot-5_A");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("cache-control")).toBe("no-store");
  });

  test("has a new request id if the client's is invalid", async () => {
    const { post } = createService();
    for (const invalid of [
      "",
      "a b",
      "x".repeat(65),
      "<script>",
      "998901234567",
      "998-90-1234567",
    ]) {
      const { body } = await post("/create_order", {}, { "x-request-id": invalid });
      expect(body["request_id"]).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test("to an internal error hides the error, which is logged with its stack", async () => {
    const { order, userId, world } = createService();
    const user = await userId();
    world.storeFault = new TypeError("secret is not a function");
    const { status, body } = await order(user);
    expect([status, body["code"]]).toEqual([500, "internal_error"]);
    expect(JSON.stringify(body)).not.toContain("secret");
    expect(world.lines.join()).toMatch(/secret is not a function[^]*bad-input\.test/);
  });

  test("to a storage failure is a 503 and hides the reason, which is logged", async () => {
    const { register, dependencies, world } = createService();
    await dependencies.store.close();
    const closed = await register("+998901234567");
    expect([closed.status, closed.body["code"]]).toEqual([503, "unavailable"]);
    expect(world.lines.join()).toContain("the store is closed");
    expect(JSON.stringify(closed.body)).not.toContain("closed");
  });
});
