import { Database } from "bun:sqlite";
import { expect, test, setDefaultTimeout } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { faultOf } from "../support/contract.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const REQUESTS = 10_000;

/** Fixed, so that failures are reproducible; FUZZ_SEED generates other requests. */
const SEED = Number(process.env["FUZZ_SEED"] ?? 20_261_123);

/** Concurrent requests. */
const CONCURRENCY = 50;

const targets = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      ["POST", "/register"],
      ["POST", "/create_order"],
      ["POST", "/create_order"],
      ["PUT", "/tariffs/gold"],
      ["PUT", "/tariffs/standard_300"],
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constantFrom("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"),
      fc.oneof(
        fc.constantFrom("/", "/health", "/tariffs", "/orders/1", "/register/", "/create_order"),
        fc.webPath(),
        fc
          .tuple(
            fc.constantFrom("chat_id", "phone_number", "limit", "before", "__proto__"),
            fc.oneof(fc.constantFrom("1", "-5", "901234567", "1e3"), fc.string({ unit: "binary" })),
            fc.constantFrom("/users", "/users/1/orders", "/users/9/orders"),
          )
          .map(
            ([name, text, path]) => `${path}?${name}=${encodeURIComponent(text.toWellFormed())}`,
          ),
        fc
          .string({ unit: "grapheme" })
          .map((text) => `/orders/${encodeURIComponent(text.toWellFormed())}`),
      ),
    ),
  },
);

/** Arbitrary JSON, and values that often break programs. */
const values = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.constantFrom<unknown>(
    "+998901234567",
    "901234567",
    "standard_300",
    "gold",
    1,
    2,
    0,
    -1,
    1.5,
    2 ** 53,
    -(2 ** 53),
    1e308,
    null,
    true,
    "",
    " ",
    "\u0000",
    "\ud800",
    "\udc00x",
    "'; DROP TABLE orders; --",
    [],
    {},
    "x".repeat(9000),
  ),
  fc.integer({ min: 1, max: 5 }),
  fc.string({ unit: "binary" }),
);

const names = fc.oneof(
  fc.constantFrom(
    "phone_number",
    "chat_id",
    "full_name",
    "user_id",
    "tariff_code",
    "title",
    "price_tiyin",
    "active",
  ),
  fc.constantFrom("__proto__", "constructor", "id", "status", ""),
);

const objects = fc.array(fc.tuple(names, values), { maxLength: 8 });

/** Serialized by hand, so that names can occur twice. */
const serialized = objects.map(
  (members) =>
    `{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")}}`,
);

const plausible = fc
  .oneof(
    fc.record(
      { phone_number: values, chat_id: values, full_name: values },
      { requiredKeys: ["phone_number"] },
    ),
    fc.record({ user_id: values, tariff_code: values }),
    fc.record(
      { title: values, price_tiyin: values, active: values },
      { requiredKeys: ["title", "price_tiyin"] },
    ),
  )
  .map((value) => JSON.stringify(value));

const deep = fc
  .integer({ min: 1, max: 7000 })
  .map((depth) => "[".repeat(depth) + "]".repeat(depth));
const wide = fc
  .integer({ min: 1, max: 1500 })
  .map((width) => `{${Array.from({ length: width }, (_, i) => `"${i}":1`).join(",")}}`);

const bodies = fc.oneof(
  { weight: 6, arbitrary: plausible },
  { weight: 4, arbitrary: serialized },
  { weight: 1, arbitrary: deep },
  { weight: 1, arbitrary: wide },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  { weight: 1, arbitrary: plausible.map((text) => Buffer.from(text, "utf16le")) },
  { weight: 1, arbitrary: plausible.map((text) => text.slice(0, text.length / 2)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "1e999",
      "-0",
      "\ufeff{}",
      "NaN",
      '{"user_id":1e1,"tariff_code":"standard_300"}',
      "x".repeat(17_000),
    ),
  },
);

const headers = fc.record(
  {
    "content-type": fc.oneof(
      {
        weight: 8,
        arbitrary: fc.constantFrom("application/json", "application/json; charset=utf-8"),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          "text/plain",
          "application/xml",
          "application/json;;",
          "a".repeat(500),
        ),
      },
    ),
    "idempotency-key": fc.oneof(
      fc.constantFrom("a", '"a"', '""', "x".repeat(256), "a b"),
      fc.string({ unit: "grapheme-ascii", maxLength: 20 }),
    ),
    "x-request-id": fc.oneof(
      fc.constantFrom("abc", "a b", "<script>", "x".repeat(65)),
      fc.string({ unit: "grapheme-ascii" }),
    ),
    "accept-encoding": fc.constantFrom("gzip", "br, *;q=0"),
    "content-encoding": fc.constantFrom("gzip", "identity"),
  },
  { requiredKeys: ["content-type"] },
);

const requests = fc.record({ target: targets, headers, body: bodies });

test(`fuzzing: ${REQUESTS} generated requests get documented responses and leave the service working`, async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  await using service = await spawnService({
    DATABASE_URL: `file:${path}`,
    LOG_LEVEL: "error",
    PAYMENT_TIMEOUT_MS: "1000",
    // Over 10,000 requests, the JIT is worth its compile time.
    BUN_JSC_useJIT: "1",
  });
  const statuses = new Map<number, number>();
  await service.userId("+998901234567");

  // Occurs in no regular response: if it comes back, the service has echoed input.
  const marker = "zqxjkv";
  const sample = fc.sample(requests, { numRuns: REQUESTS, seed: SEED });
  let next = 0;
  async function client() {
    for (let request = sample[next++]; request !== undefined; request = sample[next++]) {
      await ask(request);
    }
  }
  async function ask({ target, headers, body }: (typeof sample)[number]) {
    const [method = "", path = ""] = target;
    const hasBody = method !== "GET";
    const marked =
      typeof body === "string" ? body.replace(/^\{"/, `{"${marker}":"${marker}","`) : body;
    const response = await fetch(service.url + path, {
      method,
      headers: { ...headers, "x-api-key": marker },
      ...(hasBody && { body: marked }),
    });
    const { status } = response;
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const text = await response.text();
    if (status === 204 && method === "OPTIONS" && text === "") return;
    const fault = await faultOf(
      method,
      // Bun treats a path of only slashes as "/".
      new URL(response.url).pathname.replace(/^\/+$/, "/"),
      status,
      response.headers,
      JSON.parse(text),
    );
    if (status < 500 && !text.includes(marker) && fault === undefined) return;
    const sent = `${method} ${path} ${JSON.stringify(headers)} ${String(marked).slice(0, 300)}`;
    throw new Error(`${sent} -> ${status} ${text}: ${fault ?? "server error or echoed input"}`);
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, client));

  const user = await service.userId("+998907777777");
  expect(
    (await service.put("/tariffs/standard_300", { title: "Standard", price_tiyin: 30_000 })).status,
  ).toBe(200);
  expect((await service.order(user)).status).toBe(200);
  expect(await service.end()).toBe(0);
  using database = new Database(path, { readonly: true });
  expect(database.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  expect(database.query("PRAGMA foreign_key_check").all()).toEqual([]);
  const counts = Array.from(statuses).toSorted(([a], [b]) => a - b);
  console.log(
    `${REQUESTS} generated requests: ${counts.map(([status, count]) => `${count} × ${status}`).join(", ")}`,
  );
  for (const status of [200, 400, 404, 405, 413, 415, 422])
    expect(statuses.get(status)).toBeGreaterThan(20);
});
