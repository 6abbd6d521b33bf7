import { expect, test } from "bun:test";
import { join } from "node:path";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { createService } from "../support/service.ts";

test("request log has one line per request with method, route, status, ms and request id", async () => {
  const { request, post, userId, order, world } = createService();
  const user = await userId();
  await order(user, { "x-request-id": "a" });
  await post("/register", "{", { "x-request-id": "b" });
  await request("/orders/1", { headers: { "x-request-id": "c" } });
  await request("/secret/901234567", { headers: { "x-request-id": "d" } });
  await request("/tariffs", { method: "DELETE", headers: { "x-request-id": "e" } });
  await request("/tariffs", { headers: { "x-request-id": "f", host: "evil.example" } });
  const lines = world.lines.filter((line) => / [a-f]$/.test(line));
  expect(lines).toEqual([
    "POST /create_order 200 0 ms a",
    "POST /register 400 0 ms b",
    "GET /orders/:order_id 200 0 ms c",
    "GET - 404 0 ms d",
    "DELETE /tariffs 405 0 ms e",
    "GET /tariffs 400 0 ms f",
  ]);
});

test("JSON log begins with the settings and contains no keys or phone numbers", async () => {
  using folder = temporaryFolder();
  await using service = await spawnService({
    DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    API_KEY: "very-secret-and-long,also-secret",
    ADMIN_API_KEY: "a-top-secret-for-one",
  });
  await service.post(
    "/register",
    { phone_number: "+998901234567" },
    { "x-api-key": "very-secret-and-long", "x-request-id": "r-1" },
  );
  await service.end();
  const lines = service.printed().trim().split("\n");
  const address = lines.filter((line) => line.startsWith("NMservis is listening"));
  expect(address).toHaveLength(1);
  const records = lines.filter((line) => !address.includes(line)).map((line) => JSON.parse(line));
  expect(records[0]).toMatchObject({
    level: "info",
    API_KEY: "2 keys",
    ADMIN_API_KEY: "one key",
    PORT: 0,
  });
  expect(records).toContainEqual({
    time: expect.stringMatching(/^\d{4}-.*Z$/),
    level: "info",
    message: expect.stringMatching(/^POST \/register 200 \d+ ms r-1$/),
    method: "POST",
    route: "/register",
    status: 200,
    ms: expect.any(Number),
    request_id: "r-1",
  });
  const warnings = records.filter(({ level }) => level === "warn").map(({ message }) => message);
  expect(warnings).toEqual([
    "A key in API_KEY or ADMIN_API_KEY is shorter than 16 characters, so it could be guessed.",
    "Payments are simulated by the payment stub: every order is marked as paid.",
  ]);
  expect(service.printed()).not.toMatch(/secret|901234567/);
});

test("LOG_LEVEL=error: only the address is printed", async () => {
  using folder = temporaryFolder();
  const DATABASE_URL = `file:${join(folder.path, "x.db")}`;
  await using service = await spawnService({ DATABASE_URL, LOG_LEVEL: "error" });
  await service.order(await service.userId());
  await service.end();
  expect(service.printed()).toBe(`NMservis is listening on ${service.url}\n`);
});

test.each([
  [true, "API_KEY but no DISPATCHERS", { API_KEY: "a-client-s-key-of-it" }],
  [
    false,
    "API_KEY and DISPATCHERS",
    { API_KEY: "a-client-s-key-of-it", DISPATCHERS: "Aziza:aziza-s-key-for-this" },
  ],
  [false, "neither", {}],
])("startup log says that there is no board: %p with %s", async (isSaid, _name, settings) => {
  using folder = temporaryFolder();
  const DATABASE_URL = `file:${join(folder.path, "x.db")}`;
  await using service = await spawnService({ DATABASE_URL, ...settings });
  await service.end();
  expect(service.printed().includes("There is no board: DISPATCHERS is not set.")).toBe(isSaid);
});
