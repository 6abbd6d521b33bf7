import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Unavailable } from "../../src/errors.ts";
import { createBoard } from "../support/board.ts";
import { API_KEY, KEYS } from "../support/dispatchers.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { say } from "../support/raw-socket.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const FORM = "application/x-www-form-urlencoded";
const OWN = { "sec-fetch-site": "same-origin" };

/** Reads status, reason and language of a refusal. Fails if it is not an HTML page. */
async function refusalOf(answer: Response) {
  expect(answer.headers.get("content-type")).toBe("text/html;charset=utf-8");
  expect(answer.headers.get("x-request-id")).toBeString();
  expect(answer.headers.get("cache-control")).toBe("no-store");
  const text = await answer.text();
  const code = /data-code="(\w+)"/.exec(text)?.[1];
  return { status: answer.status, code, language: /<html lang="(\w+)"/.exec(text)?.[1], text };
}

describe("board refusal in the viewer's language", () => {
  const post = (body: string | ReadableStream, headers: Record<string, string> = {}) => ({
    method: "POST",
    body,
    headers: { ...OWN, "content-type": FORM, ...headers },
  });
  const aborted = () =>
    new ReadableStream({ pull: (controller) => controller.error(new Error("connection closed")) });
  const chunked = () => new Blob(["x".repeat(17_000)]).stream();

  test.each<[number, string, string, RequestInit]>([
    [404, "not_found", "/board/nope", {}],
    [404, "not_found", "/board/nope/", { method: "PUT" }],
    [404, "not_found", "/board/orders", {}],
    [404, "not_found", "/board/nope?a=/board", post("a=b")],
    [404, "order_not_found", "/board/orders/99", {}],
    [404, "order_not_found", "/board/orders/%zz", {}],
    [404, "order_not_found", "/board/orders/%ff", {}],
    [405, "method_not_allowed", "/board", { method: "DELETE" }],
    [405, "method_not_allowed", "/board", post("a=b")],
    [405, "method_not_allowed", "/board/orders/1/accept", {}],
    [405, "method_not_allowed", "/board/sign-out", {}],
    [
      413,
      "body_too_large",
      "/board/sign-in",
      post("x".repeat(17_000), { "content-length": "17000" }),
    ],
    [413, "body_too_large", "/board/sign-in", post(chunked())],
    [413, "body_too_large", "/board/orders/1/accept", post(chunked())],
    [413, "body_too_large", "/board/orders/1/phone", post(chunked())],
    [413, "body_too_large", "/board/sign-out", post(chunked())],
    [
      415,
      "unsupported_media_type",
      "/board/sign-in",
      post("{}", { "content-type": "application/json" }),
    ],
    [
      415,
      "unsupported_media_type",
      "/board/orders/1/accept",
      post("x", { "content-type": "multipart/form-data; boundary=x" }),
    ],
    [415, "unsupported_media_type", "/board/sign-in", post("x", { "content-encoding": "gzip" })],
    [
      415,
      "unsupported_media_type",
      "/board/orders/1/cancel",
      post("seen=new", {
        "content-type": "application/x-www-form-urlencoded; charset=iso-8859-1",
      }),
    ],
    [404, "not_found", "/Board", {}],
    [404, "not_found", "//board", {}],
    [404, "not_found", "/BOARD/orders/1", {}],
    [403, "foreign_form", "/board/sign-in", post("key=x", { "sec-fetch-site": "cross-site" })],
    [403, "foreign_form", "/board/orders/1/accept", post("seen=new", { "sec-fetch-site": "none" })],
    [400, "invalid_form", "/board/sign-in", post("key=%ff")],
    [400, "invalid_form", "/board/sign-in", post("key=%zz")],
    [400, "invalid_form", "/board/orders/1/cancel", post("seen=new&reason=area&note=%c3%28")],
    [400, "invalid_form", "/board/orders/1/cancel", post("seen=new&reason=area&note=%")],
    [400, "invalid_form", "/board/sign-in", post(aborted())],
    [400, "invalid_form", "/board/orders/1/cancel", post(aborted())],
    [422, "no_such_transition", "/board/orders/1/burn", post("seen=new")],
    [422, "no_such_transition", "/board/orders/1/accept", post("")],
    [400, "invalid_host", "/board", { headers: { host: "evil.example" } }],
    [400, "invalid_host", "/board", { headers: { host: "localhost, evil" } }],
  ])("%d %s at %s", async (status, code, path, init) => {
    const { signIn, app, order, world, look } = createBoard();
    const id = await order();
    const { cookie } = await signIn("Aziza");
    world.lines.length = 0;
    const request = new Request(`http://localhost${path}`, init);
    if (!request.headers.has("host")) request.headers.set("host", "localhost");
    request.headers.set("cookie", `${cookie}; lang=uz`);
    const refusal = await refusalOf(await app.http.handle(request));
    expect(refusal).toMatchObject({ status, code, language: "uz" });
    expect(refusal.text).not.toContain(`<h1>${status}</h1>`);
    expect(refusal.text).toContain(`href="/board"`);
    // A refresh would GET the form's address and lose the input.
    expect(refusal.text).not.toContain("http-equiv");
    expect(world.lines.filter((line) => line.startsWith("Error"))).toEqual([]);
    expect((await look(id))["stage"]).toBe("new");
  });

  test.each(["/board/nope", "/board/orders/x/y/z"])(
    "%s without a session is a page, too",
    async (path) => {
      const { send } = createBoard();
      const refusal = await refusalOf(await send(path));
      expect(refusal).toMatchObject({ status: 404, language: "ru" });
      expect(refusal.text).not.toContain("<header>");
    },
  );

  test("the event stream needs a session", async () => {
    const refusal = await refusalOf(await createBoard().send("/board/changes"));
    expect(refusal).toMatchObject({ status: 403, code: "no_session" });
  });

  test("a wrong method is answered with Allow", async () => {
    const { headers } = await createBoard().send("/board/sign-in", { method: "PUT" });
    expect(headers.get("allow")).toBe("GET, HEAD, POST, OPTIONS");
  });

  test("paths outside the board are answered with JSON, and all paths without a board", async () => {
    const { send } = createBoard();
    const key = { headers: { "x-api-key": API_KEY } };
    for (const [path, by] of [
      ["/boards", send],
      ["/nope", send],
      ["/board/nope", createBoard({ DISPATCHERS: "" }).send],
    ] as const) {
      const answer = await by(path, key);
      expect(answer.status).toBe(404);
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
      expect((await by(path)).status).toBe(401);
    }
  });
});

describe("failed board form", () => {
  const input = {
    seen: "new",
    back: "order",
    reason: "area",
    note: `over the "river" <b>`,
    owed: "yes",
  };

  test.each<[number, string, () => Error]>([
    [503, "unavailable", () => new Unavailable("the disk is full")],
    [500, "internal_error", () => new TypeError("secret is not a function")],
  ])(
    "with %d %s is offered again with its input, and can then be sent",
    async (status, code, fault) => {
      const { signIn, order, look, world } = createBoard();
      const id = await order();
      const { submit } = await signIn("Aziza");
      world.storeFault = fault();
      const refusal = await refusalOf(await submit(`/board/orders/${id}/cancel`, input));
      expect(refusal).toMatchObject({ status, code });
      expect(refusal.text).not.toContain("secret");
      expect(refusal.text).toContain("Попробовать ещё раз");
      expect(world.lines.join("\n")).toContain(world.storeFault.message);
      world.storeFault = undefined;
      const { action, fields } = readRetry(refusal.text);
      expect(fields).toEqual(input);
      expect((await submit(action, fields)).status).toBe(303);
      expect(await look(id)).toMatchObject({
        stage: "cancelled",
        refund: "owed",
        cancel_reason: "area",
      });
    },
  );

  test("from another site is not offered again", async () => {
    const { signIn, order } = createBoard();
    const id = await order();
    const { submit } = await signIn("Aziza");
    const foreign = await submit(`/board/orders/${id}/cancel`, input, {
      "sec-fetch-site": "cross-site",
    });
    expect((await refusalOf(foreign)).text).not.toContain(`action="/board/orders`);
  });
});

test.each(["/board", "/board/days?day=2026-11-20", "/board/orders/1", "/board/search?q=4567"])(
  "%s offers a retry while the database is unavailable",
  async (path) => {
    const { signIn, order, world } = createBoard();
    await order();
    const { read } = await signIn("Aziza");
    world.storeFault = new Unavailable("the disk is full");
    const { status, text } = await read(path);
    expect(status).toBe(503);
    expect(text).toContain(`href="${path}">Попробовать ещё раз</a>`);
  },
);

function readRetry(text: string) {
  const form = /<form method="post" action="([^"]*)" class="retry">([^]*?)<\/form>/.exec(text);
  const fields = Array.from(
    form?.[2]?.matchAll(/name="(\w+)"[^>]*?value="([^"]*)"/g) ?? [],
    ([, name = "", value = ""]) => [
      name,
      value
        .replaceAll("&quot;", '"')
        .replaceAll("&lt;", "<")
        .replaceAll("&gt;", ">")
        .replaceAll("&amp;", "&"),
    ],
  );
  return { action: form?.[1] ?? "", fields: Object.fromEntries(fields) };
}

describe("sign-in with an https PUBLIC_URL", () => {
  const PUBLIC_URL = "https://orders.example.uz";
  const signInFrom = async (origin: string, host: string) => {
    const { submit } = createBoard({
      PUBLIC_URL,
      ALLOWED_HOSTS: "orders.example.uz,192.168.1.5,localhost",
    });
    const form = { key: KEYS.Aziza, to: "/board/orders/7" };
    return submit("/board/sign-in", form, { origin, host });
  };

  test.each(["http://orders.example.uz", "http://192.168.1.5:8000"])(
    "is refused over %s, with a link to PUBLIC_URL",
    async (origin) => {
      const answer = await signInFrom(origin, new URL(origin).host);
      expect(answer.status).toBe(403);
      expect(answer.headers.has("set-cookie")).toBe(false);
      expect(await answer.text()).toContain(
        `<a href="${PUBLIC_URL}/board/orders/7">${PUBLIC_URL}</a>`,
      );
    },
  );

  test.each(["https://orders.example.uz", "http://localhost:8000"])(
    "works over %s",
    async (origin) => {
      expect((await signInFrom(origin, new URL(origin).host)).status).toBe(303);
    },
  );

  test("shows PUBLIC_URL on other hosts", async () => {
    const { app } = createBoard({ PUBLIC_URL, ALLOWED_HOSTS: "orders.example.uz,localhost" });
    const page = async (host: string) => {
      const request = new Request("http://localhost/board/sign-in", { headers: { host } });
      return (await app.http.handle(request)).text();
    };
    expect(await page("localhost")).toContain(`href="${PUBLIC_URL}/board"`);
    expect(await page("orders.example.uz")).not.toContain(PUBLIC_URL);
  });
});

test.each([
  ["http://board.test", "board.test", 303],
  ["http://board.test:8000", "board.test:8000", 303],
  ["http://board.test", "Board.Test:80", 303],
  ["https://board.test", "board.test:443", 303],
  ["http://board.test:8000", "board.test", 403],
  ["http://board.test", "board.test:8000", 403],
  ["https://evil.example", "board.test", 403],
  ["null", "board.test", 403],
  ["", "board.test", 403],
  ["file://", "localhost", 403],
  ["app://localhost", "localhost", 403],
])(
  "a form with only the origin %p, sent to the host %s, is answered with %d",
  async (origin, host, status) => {
    const { app } = createBoard({ HOST: "0.0.0.0" });
    const request = new Request("http://localhost/board/sign-in", {
      method: "POST",
      body: new URLSearchParams({ key: KEYS.Aziza }),
      headers: { origin, host },
    });
    expect((await app.http.handle(request)).status).toBe(status);
  },
);

describe("board over a socket", () => {
  const folder = temporaryFolder();
  let service: Awaited<ReturnType<typeof spawnService>>;

  beforeAll(async () => {
    service = await spawnService({
      ...{ DATABASE_URL: `file:${join(folder.path, "x.db")}`, LOG_LEVEL: "warn", API_KEY },
      DISPATCHERS: `Aziza:${KEYS.Aziza}`,
    });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const head = (path: string, cookie = "") =>
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Type: ${FORM}\r\nCookie: ${cookie}\r\n`;

  test("answers a chunked body over 16 KiB with a 413 page, and logs no error", async () => {
    const signedIn = await fetch(`${service.url}/board/sign-in`, {
      method: "POST",
      body: new URLSearchParams({ key: KEYS.Aziza }),
      headers: OWN,
      redirect: "manual",
    });
    const cookie = signedIn.headers.get("set-cookie")?.split(";")[0];
    for (const path of [
      "/board/sign-in",
      "/board/sign-out",
      "/board/orders/1/cancel",
      "/board/orders/1/phone",
    ]) {
      const chunk = `${(17_000).toString(16)}\r\n${"x".repeat(17_000)}\r\n0\r\n\r\n`;
      const heard = await say(
        service.url,
        `${head(path, cookie)}Transfer-Encoding: chunked\r\n\r\n${chunk}`,
        (text) => text.includes("</html>"),
      );
      expect(heard).toStartWith("HTTP/1.1 413 ");
      expect(heard).toContain("text/html");
    }
    expect(service.printed()).not.toContain("Error");
  });
});
