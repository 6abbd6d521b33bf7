import { describe, expect, test } from "bun:test";
import { createService } from "../support/service.ts";

const KEYS = { API_KEY: "client-one,client-two", ADMIN_API_KEY: "owner-one" };
const key = (value: string) => ({ "x-api-key": value });
const GOLD = { title: "Gold", price_tiyin: 100_000 };

describe("with API keys configured", () => {
  test.each(["/", "/health"])("GET %s is open", async (path) => {
    const { get } = createService(KEYS);
    expect((await get(path)).status).toBe(200);
  });

  test("Swagger UI and its assets are open", async () => {
    const { app } = createService(KEYS);
    for (const path of ["", "/", "/json", "/swagger-ui.css", "/swagger-ui-bundle.js"]) {
      const request = new Request(`http://localhost/swagger${path}`, {
        headers: { host: "localhost" },
      });
      expect((await app.http.handle(request)).status).toBe(200);
    }
  });

  test.each([
    ["POST", "/register"],
    ["POST", "/create_order"],
    ["GET", "/orders/1"],
    ["GET", "/users?chat_id=1"],
    ["GET", "/users/1/orders"],
    ["GET", "/tariffs"],
    ["PUT", "/tariffs/gold"],
    ["GET", "/nope"],
    ["GET", "//"],
    ["POST", "/"],
    ["DELETE", "/register"],
    ["OPTIONS", "/register"],
  ])(
    "%s %s requires a key, checked before path, method, content type and size",
    async (method, path) => {
      const { request } = createService(KEYS);
      const headers = { "content-type": "text/plain", "content-length": "60000000" };
      const without = await request(path, { method, headers });
      expect([without.status, without.body["code"]]).toEqual([401, "missing_api_key"]);
      expect(without.headers.get("www-authenticate")).toBe('ApiKey realm="NMservis"');
      for (const wrong of ["", "nope", "client-one,client-two", "client-one ,", "CLIENT-ONE"]) {
        const { status, body } = await request(path, {
          method,
          headers: { ...headers, ...key(wrong) },
        });
        expect([status, body["code"]]).toEqual([403, "invalid_api_key"]);
      }
    },
  );

  test("a route that declares no access requires a key, even if hidden from the OpenAPI document", async () => {
    const { app, request } = createService(KEYS);
    app.http.get("/hidden", () => "secret", { detail: { hide: true } });
    const { status, body } = await request("/hidden");
    expect([status, body["code"]]).toEqual([401, "missing_api_key"]);
  });

  test("GET /tariffs accepts every client key and the owner's key", async () => {
    const { request } = createService(KEYS);
    for (const one of ["client-one", "client-two", "owner-one"]) {
      expect((await request("/tariffs", { headers: key(one) })).status).toBe(200);
    }
  });

  test("only the owner's key can change prices", async () => {
    const { request, put } = createService(KEYS);
    const refused = await put("/tariffs/gold", GOLD, key("client-one"));
    expect([refused.status, refused.body["code"]]).toEqual([403, "invalid_api_key"]);
    expect((await request("/tariffs/gold", { headers: key("client-one") })).status).toBe(405);
    expect((await put("/tariffs/gold", GOLD, key("owner-one"))).status).toBe(200);
  });

  test("only the owner's key lists inactive tariffs", async () => {
    const { request, put } = createService(KEYS);
    await put("/tariffs/gold", { ...GOLD, active: false }, key("owner-one"));
    const codes = async (one: string) =>
      JSON.stringify((await request("/tariffs", { headers: key(one) })).body).match(
        /"code":"\w+"/g,
      );
    expect(await codes("client-one")).toEqual(['"code":"standard_300"']);
    expect(await codes("owner-one")).toEqual(['"code":"gold"', '"code":"standard_300"']);
  });
});

describe("without API keys", () => {
  test("anyone can change prices", async () => {
    const { put } = createService();
    expect((await put("/tariffs/gold", GOLD)).status).toBe(200);
  });
});

describe("Host header", () => {
  const host = (name: string) => ({ headers: { host: name } });

  test.each(["localhost", "127.0.0.1:8000", "LOCALHOST:1", "[::1]", "[::1]:8000"])(
    "%p is accepted on a loopback address",
    async (name) => {
      const { request } = createService();
      expect((await request("/tariffs", host(name))).status).toBe(200);
    },
  );

  test.each([
    "evil.example",
    "localhost.evil.example",
    "localhost, evil",
    "x",
    "a:1",
    "localhost/a",
    "me@localhost",
    "::1",
    "",
  ])("%p is refused on a loopback address, and logged", async (name) => {
    const { request, world } = createService();
    const { status, body } = await request("/tariffs", host(name));
    expect([status, body["code"]]).toEqual([400, "invalid_host"]);
    expect(world.lines.join("\n")).toContain(`Refused a request for the host "${name}".`);
  });

  test("refused names fill at most 10 log lines a minute, each truncated to 100 characters", async () => {
    const { request, world } = createService();
    const refusedLines = () => world.lines.filter((line) => line.includes("Refused a request"));
    for (let n = 0; n < 15; n++) await request("/tariffs", host(`evil-${n}.${"x".repeat(2000)}`));
    expect(refusedLines()).toHaveLength(10);
    for (const line of refusedLines()) expect(line.length).toBeLessThan(220);
    world.nowMs += 60_000;
    await request("/tariffs", host("evil.example"));
    expect(refusedLines()).toHaveLength(11);
  });

  test.each(["10.0.0.7:8000", "nmservis", "evil.example", "x", "", "localhost, evil"])(
    "%p is accepted on / and /health, which probes call by address or container name",
    async (name) => {
      const { app, request } = createService(KEYS);
      for (const path of ["/", "/health", "/health/", "/health?verbose=1"]) {
        expect((await request(path, host(name))).status).toBe(200);
      }
      const head = new Request("http://localhost/health", { method: "HEAD", ...host(name) });
      expect((await app.http.handle(head)).status).toBe(200);
      for (const path of ["/metrics", "/swagger", "/board", "/nope", "/health/x"]) {
        expect((await request(path, host(name))).body["code"]).toBe("invalid_host");
      }
    },
  );

  test("may be the loopback address in HOST", async () => {
    const { request } = createService({ HOST: "127.0.0.2" });
    expect((await request("/tariffs", host("127.0.0.2:8000"))).status).toBe(200);
  });

  test("is checked before the key", async () => {
    const { request } = createService(KEYS);
    expect((await request("/tariffs", host("evil.example"))).body["code"]).toBe("invalid_host");
  });

  test("may be any name in ALLOWED_HOSTS, in any case and with any port", async () => {
    const { request } = createService({ ALLOWED_HOSTS: "Api.Nomus.uz:443, [::1]" });
    expect((await request("/tariffs", host("api.nomus.uz"))).status).toBe(200);
    expect((await request("/tariffs", host("API.nomus.uz:8000"))).status).toBe(200);
    expect((await request("/tariffs", host("[::1]"))).status).toBe(200);
    expect((await request("/tariffs", host("localhost"))).status).toBe(400);
  });

  test("may be any valid name if HOST is a public address", async () => {
    const { request } = createService({ HOST: "0.0.0.0", ...KEYS });
    for (const name of ["api.nomus.uz", "uz", "x"]) {
      expect((await request("/tariffs", host(name))).status).toBe(401);
    }
    expect((await request("/tariffs", host("api.nomus.uz, evil"))).status).toBe(400);
  });
});

describe("HTTP methods", () => {
  async function plain(method: string, path: string) {
    const { app } = createService();
    return app.http.handle(
      new Request(`http://localhost${path}`, { method, headers: { host: "localhost" } }),
    );
  }

  test("OPTIONS lists the methods of a path, and returns 404 for an unknown path", async () => {
    const options = await plain("OPTIONS", "/tariffs");
    expect([options.status, options.headers.get("allow")]).toEqual([204, "GET, HEAD, OPTIONS"]);
    expect(await options.text()).toBe("");
    expect((await plain("OPTIONS", "/nope")).status).toBe(404);
  });

  test("GET and OPTIONS send no CORS headers to an unknown origin", async () => {
    const { app } = createService();
    const headers = {
      host: "localhost",
      origin: "https://evil.example",
      "access-control-request-method": "POST",
    };
    for (const method of ["GET", "OPTIONS"]) {
      const answer = await app.http.handle(
        new Request("http://localhost/tariffs", { method, headers }),
      );
      expect(
        Array.from(answer.headers.keys()).filter((name) => name.startsWith("access-")),
      ).toEqual([]);
    }
  });

  test("HEAD returns the status and content type of GET, without the body", async () => {
    const head = await plain("HEAD", "/tariffs");
    expect([head.status, await head.text()]).toEqual([200, ""]);
    expect(head.headers.get("content-type")).toStartWith("application/json");
    expect((await plain("HEAD", "/register")).status).toBe(405);
  });
});
