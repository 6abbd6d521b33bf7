import { afterAll, beforeAll, describe, expect, test, setDefaultTimeout } from "bun:test";
import { join } from "node:path";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { say } from "../support/raw-socket.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

// What no HTTP library would send. Bun refuses by itself, with a bare 4xx or a close, what is no valid
// HTTP; the rest is ours to answer.

const folder = temporaryFolder();
let service: Awaited<ReturnType<typeof spawnService>>;

beforeAll(async () => {
  service = await spawnService({
    DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    PAYMENT_TIMEOUT_MS: "400",
    PAYMENT_STUB_DELAY_MS: "50",
  });
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const never = () => false;

const JSON_POST = `POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;

async function stillWorks() {
  const user = await service.userId();
  expect((await service.order(user)).status).toBe(200);
}

describe("is refused with a bare 4xx, or cut off", () => {
  test.each([
    ["no Host in HTTP/1.1", "GET / HTTP/1.1\r\n\r\n"],
    [
      "Content-Length with Transfer-Encoding",
      `${JSON_POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    [
      "two different Content-Lengths",
      `${JSON_POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
    ],
    ["10 000 headers", `GET / HTTP/1.1\r\nHost: localhost\r\n${"X-A: b\r\n".repeat(10_000)}\r\n`],
    [
      "a header of a megabyte",
      `GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ${"b".repeat(1 << 20)}\r\n\r\n`,
    ],
    ["a body over 1 MiB", `${JSON_POST}Content-Length: 60000000\r\n\r\n`],
    ["no HTTP at all", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\r\n\r\n"],
  ])("%s", async (_what, bytes) => {
    const heard = await say(service.url, bytes);
    if (heard !== "")
      expect(heard).toMatch(/^HTTP\/1\.1 4\d\d [^\r]+\r\nConnection: close\r\n\r\n$/);
    await stillWorks();
  });
});

describe("is answered by us", () => {
  test.each([
    [
      "two Hosts",
      "GET /tariffs HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
      400,
      "invalid_host",
    ],
    ["an empty Host", "GET /tariffs HTTP/1.1\r\nHost:\r\n\r\n", 400, "invalid_host"],
    ["HTTP/1.0 without a Host", "GET /tariffs HTTP/1.0\r\n\r\n", 400, "invalid_host"],
    [
      "a Host that shifts the path",
      "GET /zz/tariffs HTTP/1.1\r\nHost: x\r\n\r\n",
      400,
      "invalid_host",
    ],
    ["CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "not_found"],
    ["TRACE", "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "method_not_allowed"],
    ["two slashes", "GET //tariffs HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "not_found"],
    ["a path in disguise", "GET /%74ariffs HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "not_found"],
    ["a broken escape", "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "not_found"],
    [
      "a broken escape of ours",
      "GET /orders/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
      404,
      "order_not_found",
    ],
  ])("%s", async (_what, bytes, status, code) => {
    const heard = await say(service.url, bytes);
    expect(heard).toStartWith(`HTTP/1.1 ${status} `);
    const [, json = ""] = heard.split("\r\n\r\n");
    expect(JSON.parse(json)).toMatchObject({ status, code });
  });

  test.each([
    ["a body that is no UTF-8", "", '{"phone_number":"\xff"}', 400, "invalid_json"],
    ["a Content-Encoding", "Content-Encoding: gzip\r\n", "{}", 415, "unsupported_media_type"],
  ])("%s", async (_what, header, body, status, code) => {
    // Written as one byte for each character, of which no UTF-8 is made on the way.
    const head = `${JSON_POST}${header}Content-Length: ${body.length}\r\n\r\n`;
    const heard = await say(service.url, Buffer.from(head + body, "latin1"));
    expect(heard).toStartWith(`HTTP/1.1 ${status} `);
    expect(heard).toContain(`"code":"${code}"`);
  });

  test.each([
    ["/", ""],
    ["/health", ""],
    ["/", "Host: 10.0.0.7:8000\r\n"],
    ["/health", "Host: x\r\n"],
    ["/health", "Host: nmservis\r\n"],
  ])("a probe of %s in HTTP/1.0 with the header %p", async (path, header) => {
    const heard = await say(service.url, `GET ${path} HTTP/1.0\r\n${header}\r\n`);
    expect(heard).toStartWith("HTTP/1.1 200 ");
  });

  test("HTTP/1.0 with a Host", async () => {
    const heard = await say(service.url, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
    expect(heard).toEndWith('{"message":"NoMus API is running"}');
  });

  test("a length declared twice, which is no way around the limit", async () => {
    const long = `{"phone_number":"${"1".repeat(20_000)}"}`;
    const length = `Content-Length: ${long.length}\r\n`;
    const heard = await say(service.url, `${JSON_POST}${length}${length}\r\n${long}`);
    expect(heard).toMatch(/^HTTP\/1\.1 4/);
    expect(heard).not.toContain("invalid_phone_number");
  });

  test("two requests in one go, each in its turn", async () => {
    const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const heard = await say(service.url, get + get, (text) => text.split("NoMus API").length === 3);
    expect(heard.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
  });
});

describe("access is decided by the route that is served", () => {
  const headers = "Host: localhost\r\nConnection: close\r\n";
  const folder = temporaryFolder();
  let keyed: Awaited<ReturnType<typeof spawnService>>;

  beforeAll(async () => {
    keyed = await spawnService({
      DATABASE_URL: `file:${join(folder.path, "x.db")}`,
      API_KEY: "client-key",
      ADMIN_API_KEY: "owner-key",
    });
  });

  afterAll(async () => {
    await keyed[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  async function answer(method: string, path: string) {
    const heard = await say(keyed.url, `${method} ${path} HTTP/1.1\r\n${headers}\r\n`);
    const [head = "", body = ""] = heard.split("\r\n\r\n");
    return { status: Number(head.slice(9, 12)), body };
  }

  test.each([
    "/orders/..",
    "/orders/%2e%2e",
    "/orders/.%2E",
    "/orders/1\\..\\..",
    "/orders/../",
    "/users/../",
    "/orders/1/../..",
  ])("%s without a key is GET /, not an order", async (path) => {
    const { status, body } = await answer("GET", path);
    expect([status, body]).toEqual([200, '{"message":"NoMus API is running"}']);
  });

  test.each([
    ["GET", "/orders/."],
    ["GET", "/users/../orders"],
    ["GET", "/health/../orders/1"],
    ["GET", "/board/../tariffs"],
    ["GET", "/swagger/..%2ftariffs"],
    ["GET", "/board/orders/1\\..\\..\\..\\orders\\1"],
    ["PUT", "/swagger/../tariffs/x"],
    ["POST", "/board/../create_order"],
    ["GET", "/orders/..%2f"],
  ])("%s %s without a key is 401", async (method, path) => {
    const { status, body } = await answer(method, path);
    expect([status, JSON.parse(body).code]).toEqual([401, "missing_api_key"]);
  });
});

test("of two orders in one go the first is taken without an answer, the second is not", async () => {
  const user = await service.userId("+998906666666");
  const text = JSON.stringify({ user_id: user, tariff_code: "standard_300" });
  const post = (key: string) =>
    `POST /create_order HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: ${key}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  expect(await say(service.url, post("first") + post("second"), never)).toBe("");
  const first = await service.order(user, { "idempotency-key": "first" });
  const second = await service.order(user, { "idempotency-key": "second" });
  expect(first.headers.get("idempotent-replayed")).toBe("true");
  expect(second.headers.get("idempotent-replayed")).toBeNull();
});

test("a second request before the first is answered has Bun close the connection, and charges nothing twice", async () => {
  const user = await service.userId("+998905555555");
  const text = JSON.stringify({ user_id: user, tariff_code: "standard_300" });
  const post =
    "POST /create_order HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
    `Content-Length: ${text.length}\r\n\r\n${text}`;
  expect(await say(service.url, post + post, never)).toBe("");
  // The customer's bot has heard nothing and sends it again: it is the same order, and paid.
  const { status, body } = await service.order(user);
  expect(status).toBe(200);
  expect((await service.get(`/orders/${body["order_id"]}`)).body["status"]).toBe("paid");
  const charges = service.printed().match(/Processing payment/g)?.length ?? 0;
  expect((await service.order(user)).body["order_id"]).toBe(body["order_id"]);
  expect(service.printed().match(/Processing payment/g)?.length ?? 0).toBe(charges);
});
