import { afterAll, beforeAll, describe, expect, test, setDefaultTimeout } from "bun:test";
import { join } from "node:path";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { say } from "../support/raw-socket.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

// Requests that no HTTP library would send. Bun rejects malformed HTTP with an empty 4xx or 505,
// or by closing the connection; the service answers everything else.

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

describe("malformed HTTP gets an empty 4xx or 505, or a closed connection", () => {
  test.each([
    ["HTTP/1.1 without Host", "GET / HTTP/1.1\r\n\r\n"],
    [
      "Content-Length with Transfer-Encoding",
      `${JSON_POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    [
      "two different Content-Length headers",
      `${JSON_POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
    ],
    ["10 000 headers", `GET / HTTP/1.1\r\nHost: localhost\r\n${"X-A: b\r\n".repeat(10_000)}\r\n`],
    [
      "a header of a megabyte",
      `GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ${"b".repeat(1 << 20)}\r\n\r\n`,
    ],
    ["an unknown HTTP version", "GET / HTTP/1.2\r\nHost: localhost\r\n\r\n"],
    ["a body over 1 MiB", `${JSON_POST}Content-Length: 60000000\r\n\r\n`],
    ["a TLS handshake", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\r\n\r\n"],
  ])("%s", async (_name, bytes) => {
    const received = await say(service.url, bytes);
    if (received !== "")
      expect(received).toMatch(/^HTTP\/1\.1 (4\d\d|505) [^\r]+\r\nConnection: close\r\n\r\n$/);
    await stillWorks();
  });
});

test.each(["FOO", "get"])(
  "the unknown method %s closes the connection without a response",
  async (method) => {
    expect(await say(service.url, `${method} / HTTP/1.1\r\nHost: localhost\r\n\r\n`)).toBe("");
    await stillWorks();
  },
);

describe("unusual HTTP is answered by the service", () => {
  test.each([
    [
      "two Host headers",
      "GET /tariffs HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
      400,
      "invalid_host",
    ],
    ["an empty Host", "GET /tariffs HTTP/1.1\r\nHost:\r\n\r\n", 400, "invalid_host"],
    ["HTTP/1.0 without a Host", "GET /tariffs HTTP/1.0\r\n\r\n", 400, "invalid_host"],
    [
      "a short Host, which would shift the path",
      "GET /zz/tariffs HTTP/1.1\r\nHost: x\r\n\r\n",
      400,
      "invalid_host",
    ],
    ["CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "not_found"],
    ["TRACE", "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "method_not_allowed"],
    ["two slashes", "GET //tariffs HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "not_found"],
    [
      "a percent-encoded path",
      "GET /%74ariffs HTTP/1.1\r\nHost: localhost\r\n\r\n",
      404,
      "not_found",
    ],
    [
      "an invalid escape in an unknown path",
      "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
      404,
      "not_found",
    ],
    [
      "an invalid escape in an order id",
      "GET /orders/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
      404,
      "order_not_found",
    ],
  ])("%s", async (_name, bytes, status, code) => {
    const received = await say(service.url, bytes);
    expect(received).toStartWith(`HTTP/1.1 ${status} `);
    const [, json = ""] = received.split("\r\n\r\n");
    expect(JSON.parse(json)).toMatchObject({ status, code });
  });

  test.each([
    ["a body that is not UTF-8", "", '{"phone_number":"\xff"}', 400, "invalid_json"],
    ["a Content-Encoding", "Content-Encoding: gzip\r\n", "{}", 415, "unsupported_media_type"],
  ])("%s", async (_name, header, body, status, code) => {
    // Latin-1 writes one byte per character, so the body is not valid UTF-8.
    const head = `${JSON_POST}${header}Content-Length: ${body.length}\r\n\r\n`;
    const received = await say(service.url, Buffer.from(head + body, "latin1"));
    expect(received).toStartWith(`HTTP/1.1 ${status} `);
    expect(received).toContain(`"code":"${code}"`);
  });

  test.each([
    ["/", ""],
    ["/health", ""],
    ["/", "Host: 10.0.0.7:8000\r\n"],
    ["/health", "Host: x\r\n"],
    ["/health", "Host: nmservis\r\n"],
  ])("an HTTP/1.0 probe of %s with the header %p", async (path, header) => {
    const received = await say(service.url, `GET ${path} HTTP/1.0\r\n${header}\r\n`);
    expect(received).toStartWith("HTTP/1.1 200 ");
  });

  test.each(["Host:\r\n", "Host: a b\r\n"])(
    "the board with the header %p gets an HTML page",
    async (header) => {
      const received = await say(service.url, `GET /board?q=1 HTTP/1.1\r\n${header}\r\n`);
      expect(received).toMatch(/^HTTP\/1\.1 400 .*content-type: text\/html/is);
    },
  );

  test("HTTP/1.0 with Host", async () => {
    const received = await say(service.url, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
    expect(received).toEndWith('{"message":"NoMus API is running"}');
  });

  test("a repeated Content-Length, which does not bypass the size limit", async () => {
    const long = `{"phone_number":"${"1".repeat(20_000)}"}`;
    const length = `Content-Length: ${long.length}\r\n`;
    const received = await say(service.url, `${JSON_POST}${length}${length}\r\n${long}`);
    expect(received).toMatch(/^HTTP\/1\.1 4/);
    expect(received).not.toContain("invalid_phone_number");
  });

  test("two pipelined requests, in order", async () => {
    const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const received = await say(
      service.url,
      get + get,
      (text) => text.split("NoMus API").length === 3,
    );
    expect(received.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
  });
});

describe("access control uses the normalized path", () => {
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
    const received = await say(keyed.url, `${method} ${path} HTTP/1.1\r\n${headers}\r\n`);
    const [head = "", body = ""] = received.split("\r\n\r\n");
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
  ])("%s without a key is answered as GET /", async (path) => {
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
  ])("%s %s without a key gets 401", async (method, path) => {
    const { status, body } = await answer(method, path);
    expect([status, JSON.parse(body).code]).toEqual([401, "missing_api_key"]);
  });
});

test("pipelined orders: the first is processed without an answer, the second is dropped", async () => {
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

test("pipelined identical orders: Bun closes the connection, and the order is charged once", async () => {
  const user = await service.userId("+998905555555");
  const text = JSON.stringify({ user_id: user, tariff_code: "standard_300" });
  const post =
    "POST /create_order HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
    `Content-Length: ${text.length}\r\n\r\n${text}`;
  expect(await say(service.url, post + post, never)).toBe("");
  // The bot got no response and repeats the request: it gets the same, paid order.
  const { status, body } = await service.order(user);
  expect(status).toBe(200);
  expect((await service.get(`/orders/${body["order_id"]}`)).body["status"]).toBe("paid");
  const charges = service.printed().match(/Processing payment/g)?.length ?? 0;
  expect((await service.order(user)).body["order_id"]).toBe(body["order_id"]);
  expect(service.printed().match(/Processing payment/g)?.length ?? 0).toBe(charges);
});
