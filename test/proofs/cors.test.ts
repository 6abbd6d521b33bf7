import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { closeBrowser, openBrowser } from "../support/browser.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { createService } from "../support/service.ts";

setDefaultTimeout(BUSY_MACHINE_MS);
afterAll(closeBrowser);

const OURS = "https://app.nomus.uz";
const ENVIRONMENT = {
  CORS_ORIGINS: `${OURS},http://localhost:5173`,
  API_KEY: "a-clients-key-of-some-length",
};

function createPlain(environment: Record<string, string> = ENVIRONMENT) {
  const service = createService(environment);
  const send = (method: string, path: string, headers: Record<string, string>) =>
    service.app.http.handle(
      new Request(`http://localhost${path}`, {
        method,
        headers: { host: "localhost", ...headers },
      }),
    );
  const preflight = (path: string, origin: string) =>
    send("OPTIONS", path, { origin, "access-control-request-method": "POST" });
  return { ...service, send, preflight };
}

const corsHeaders = ({ headers }: Response) =>
  Array.from(headers.keys()).filter((name) => name.startsWith("access-control-"));

describe("CORS: allowed origin", () => {
  test("gets an answer to a preflight without a key", async () => {
    const { preflight } = createPlain();
    for (const origin of [OURS, "http://localhost:5173"]) {
      const answer = await preflight("/create_order", origin);
      expect([answer.status, await answer.text()]).toEqual([204, ""]);
      expect(answer.headers.toJSON()).toMatchObject({
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "POST, OPTIONS",
        "access-control-allow-headers":
          "Authorization, Content-Type, Idempotency-Key, X-API-Key, X-Request-Id",
        "access-control-max-age": "7200",
        vary: "Origin",
      });
    }
    expect((await preflight("/nope", OURS)).status).toBe(404);
  });

  test.each([
    ["a successful request", "/", 200],
    ["a request without a key", "/tariffs", 401],
    ["a request for an unknown path", "/nope", 401],
  ])("may read the response to %s", async (_name, path, status) => {
    const { send } = createPlain();
    const answer = await send("GET", path, { origin: OURS });
    expect(answer.status).toBe(status);
    expect(answer.headers.get("access-control-allow-origin")).toBe(OURS);
    expect(answer.headers.get("access-control-expose-headers")).toContain("X-Request-Id");
    expect(answer.headers.has("access-control-allow-credentials")).toBe(false);
  });

  test("gets the OpenAPI document with a Vary that lists Origin", async () => {
    const { send } = createPlain();
    const answer = await send("GET", "/swagger/json", { origin: OURS });
    expect(answer.headers.get("access-control-allow-origin")).toBe(OURS);
    expect(answer.headers.get("vary")).toBe("Accept-Encoding, Origin");
  });

  test("may read the response while the database is unavailable", async () => {
    const { app, dependencies } = createPlain({ CORS_ORIGINS: OURS });
    await dependencies.store.close();
    const answer = await app.http.handle(
      new Request("http://localhost/tariffs", { headers: { host: "localhost", origin: OURS } }),
    );
    expect(answer.headers.get("access-control-allow-origin")).toBe(OURS);
  });

  test("needs the key for requests that are not preflights", async () => {
    const { send } = createPlain();
    expect((await send("OPTIONS", "/tariffs", { origin: OURS })).status).toBe(401);
    const fakePreflight = { origin: OURS, "access-control-request-method": "POST" };
    expect((await send("GET", "/tariffs", fakePreflight)).status).toBe(401);
  });
});

describe("CORS: other origin", () => {
  test.each([
    "https://evil.example",
    "https://app.nomus.uz.evil.example",
    "http://app.nomus.uz",
    "null",
    "",
  ])("%p gets no CORS headers", async (origin) => {
    const { send, preflight } = createPlain();
    const asked = await preflight("/create_order", origin);
    expect([asked.status, corsHeaders(asked)]).toEqual([401, []]);
    const read = await send("GET", "/", { origin });
    expect([corsHeaders(read), read.headers.get("vary")]).toEqual([[], "Origin"]);
  });

  test("gets neither CORS headers nor Vary if CORS_ORIGINS is unset", async () => {
    const { send, preflight } = createPlain({});
    const asked = await preflight("/create_order", OURS);
    const read = await send("GET", "/", { origin: OURS });
    for (const answer of [asked, read]) {
      expect([corsHeaders(answer), answer.headers.get("vary")]).toEqual([[], null]);
    }
  });
});

test("CORS in a browser: a page from an allowed origin can order, a page from another origin cannot", async () => {
  const browser = await openBrowser("web pages of other origins");
  if (browser === undefined) return;
  const page = () => new Response("<!doctype html>", { headers: { "content-type": "text/html" } });
  using ours = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: page });
  using foreign = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: page });
  using folder = temporaryFolder();
  const key = "a-clients-key-of-some-length";
  await using service = await spawnService({
    DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    CORS_ORIGINS: ours.url.origin,
    API_KEY: key,
  });
  await using tab = await browser.newPage();

  /** Posts from a page of this origin. Returns the response or error that the page sees. */
  async function callFrom(origin: string, body: object, path: string) {
    await tab.goto(origin);
    return tab.evaluate(
      async ([url, key, json]) => {
        try {
          const response = await fetch(String(url), {
            method: "POST",
            headers: { "content-type": "application/json", "x-api-key": String(key) },
            body: String(json),
          });
          const { status, headers } = response;
          return { status, body: await response.json(), id: headers.get("x-request-id") };
        } catch (error) {
          return { failed: String(error) };
        }
      },
      [service.url + path, key, JSON.stringify(body)],
    );
  }

  const person = { phone_number: "+998901234567" };
  const order = { user_id: 1, tariff_code: "standard_300" };
  expect(await callFrom(ours.url.origin, person, "/register")).toMatchObject({ status: 200 });
  expect(await callFrom(foreign.url.origin, order, "/create_order")).toEqual({
    failed: "TypeError: Failed to fetch",
  });
  expect(await callFrom(ours.url.origin, order, "/create_order")).toMatchObject({
    status: 200,
    // Id 1: the foreign page's request did not create an order.
    body: { status: "ok", order_id: 1 },
    id: expect.stringMatching(/^[\w-]{36}$/),
  });
});
