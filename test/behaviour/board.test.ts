import { describe, expect, test } from "bun:test";
import { createService } from "../support/service.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const API_KEY = "a-client-s-key-of-it";
const KEYS = { Aziza: "aziza-s-key-for-this", Bekzod: "bekzod-s-key-for-thi" };
const DISPATCHERS = Object.entries(KEYS)
  .map(([name, key]) => `${name}:${key}`)
  .join(",");

type Dispatcher = keyof typeof KEYS;

function createBoard(environment: Record<string, string> = {}) {
  const service = createService({
    ...{ API_KEY, DISPATCHERS, ORDERS_PER_USER_PER_HOUR: "0" },
    ...environment,
  });
  const { app, post } = service;

  const send = (path: string, init: RequestInit = {}) => {
    const request = new Request(`http://localhost${path}`, { redirect: "manual", ...init });
    request.headers.set("host", "localhost");
    return app.http.handle(request);
  };
  const submit = (path: string, form: object, headers: Record<string, string> = {}) =>
    send(path, {
      method: "POST",
      body: new URLSearchParams({ ...form }).toString(),
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        "sec-fetch-site": "same-origin",
        ...headers,
      },
    });
  async function signIn(name: Dispatcher) {
    const answer = await submit("/board/sign-in", { key: KEYS[name], to: "/board" });
    expect([answer.status, answer.headers.get("location")]).toEqual([303, "/board"]);
    const cookie = answer.headers.get("set-cookie")?.split(";")[0] ?? "";
    return {
      cookie,
      async read(path: string) {
        const read = await send(path, { headers: { cookie } });
        return { status: read.status, headers: read.headers, text: await read.text() };
      },
      submit: (path: string, form: object, headers: Record<string, string> = {}) =>
        submit(path, form, { cookie, ...headers }),
    };
  }
  /** A paid order of a customer of this number. */
  async function order(more: object = {}, phone = "+998901234567", name?: string) {
    const headers = { "x-api-key": API_KEY };
    const user = await post("/register", { phone_number: phone, full_name: name }, headers);
    const { body } = await post(
      "/create_order",
      { user_id: user.body["user_id"], tariff_code: "standard_300", ...more },
      { ...headers, "idempotency-key": crypto.randomUUID() },
    );
    await app.idle();
    return Number(body["order_id"]);
  }
  const look = async (id: number) =>
    (await service.request(`/orders/${id}`, { headers: { "x-api-key": API_KEY } })).body;
  return { ...service, send, submit, signIn, order, look };
}

describe("the sign-in", () => {
  test("is where everybody is sent who has no session, and nothing is done", async () => {
    const { send, submit, order, look } = createBoard();
    const id = await order();
    for (const path of ["/board", "/board/days", `/board/orders/${id}`, "/board/search?q=1"]) {
      const { status, headers } = await send(path);
      expect(status).toBe(303);
      expect(headers.get("location")).toStartWith("/board/sign-in?to=");
    }
    const posted = await submit(`/board/orders/${id}/accept`, { seen: "new" });
    expect(posted.headers.get("location")).toStartWith("/board/sign-in");
    expect((await look(id))["stage"]).toBe("new");
    expect((await send("/board/changes")).status).toBe(403);
  });

  test("leads on to where one was going, and to no other site", async () => {
    const { submit } = createBoard();
    const to = async (path: string) => {
      const answer = await submit("/board/sign-in", { key: KEYS.Aziza, to: path });
      return answer.headers.get("location");
    };
    expect(await to("/board/orders/7")).toBe("/board/orders/7");
    for (const path of ["https://evil.example", "//evil.example", "/board/../x", "/boards", ""]) {
      expect(await to(path)).toBe("/board");
    }
  });

  test("refuses a wrong key, and after ten of them every key for a minute", async () => {
    const { submit, world } = createBoard();
    const tryKey = async (key: string) => (await submit("/board/sign-in", { key })).status;
    for (let n = 0; n < 10; n++) expect(await tryKey("wrong")).toBe(403);
    expect(await tryKey(KEYS.Aziza)).toBe(429);
    world.nowMs += MINUTE_MS;
    expect(await tryKey(KEYS.Aziza)).toBe(303);
  });

  test("gives a cookie that scripts can't read, for TLS alone where PUBLIC_URL says so", async () => {
    const plain = await createBoard().submit("/board/sign-in", { key: KEYS.Aziza });
    expect(plain.headers.get("set-cookie")).toMatch(
      /^nmservis=Aziza\.\d+\.[\w-]+; Max-Age=43200; Path=\/; HttpOnly; SameSite=Lax$/,
    );
    const { submit } = createBoard({ PUBLIC_URL: "https://orders.example.uz" });
    const secure = await submit("/board/sign-in", { key: KEYS.Aziza });
    expect(secure.headers.get("set-cookie")).toMatch(
      /^__Host-nmservis=.*; HttpOnly; SameSite=Lax; Secure$/,
    );
  });

  test("holds for twelve hours", async () => {
    const { signIn, world } = createBoard();
    const { read } = await signIn("Aziza");
    world.nowMs += 12 * HOUR_MS - 1;
    expect((await read("/board")).status).toBe(200);
    world.nowMs += 1;
    expect((await read("/board")).status).toBe(303);
  });

  test("can't be forged, and ends with the key", async () => {
    const { signIn, send, world } = createBoard();
    const { cookie } = await signIn("Aziza");
    const [, endsAt, signature] = cookie.split(".");
    const statusWith = async (value: string, by = send) =>
      (await by("/board", { headers: { cookie: value } })).status;
    expect(await statusWith(cookie)).toBe(200);
    for (const forged of [
      `nmservis=Bekzod.${endsAt}.${signature}`,
      `nmservis=Aziza.${Number(endsAt) + 1}.${signature}`,
      `nmservis=Aziza.${endsAt}.${signature?.slice(1)}`,
      `nmservis=Aziza.${endsAt}.`,
      `nmservis=Aziza..${signature}`,
      "nmservis=",
      "nmservis=%",
      `other=Aziza.${endsAt}.${signature}`,
    ]) {
      expect(await statusWith(forged)).toBe(303);
    }
    const without = createBoard({ DISPATCHERS: `Bekzod:${KEYS.Bekzod}` });
    without.world.nowMs = world.nowMs;
    expect(await statusWith(cookie, without.send)).toBe(303);
    const renewed = createBoard({ DISPATCHERS: "Aziza:another-key-of-16-ch" });
    expect(await statusWith(cookie, renewed.send)).toBe(303);
  });
});

test("there is no board with API_KEY and no dispatchers, and with neither it is open here", async () => {
  const closed = createBoard({ DISPATCHERS: "" });
  expect((await closed.send("/board", { headers: { "x-api-key": API_KEY } })).status).toBe(404);
  const open = createBoard({ API_KEY: "", DISPATCHERS: "" });
  const { status } = await open.send("/board");
  expect(status).toBe(200);
});

describe("a form", () => {
  test("is taken from our own pages alone", async () => {
    const { signIn, order, look } = createBoard();
    const id = await order();
    const { cookie, submit } = await signIn("Aziza");
    const statusFrom = async (headers: Record<string, string>) =>
      (await submit(`/board/orders/${id}/accept`, { seen: "new" }, headers)).status;
    expect(await statusFrom({ cookie, "sec-fetch-site": "cross-site" })).toBe(403);
    expect(await statusFrom({ cookie, "sec-fetch-site": "same-site" })).toBe(403);
    expect(await statusFrom({ cookie, "sec-fetch-site": "none" })).toBe(403);
    expect((await look(id))["stage"]).toBe("new");
    expect(await statusFrom({ cookie })).toBe(303);
  });

  test("of a browser that says nothing of sites has to have our origin", async () => {
    const { signIn, send, order } = createBoard();
    const id = await order();
    const { cookie } = await signIn("Aziza");
    const statusFrom = async (more: Record<string, string>) => {
      const answer = await send(`/board/orders/${id}/accept`, {
        method: "POST",
        body: "seen=new",
        headers: { cookie, "content-type": "application/x-www-form-urlencoded", ...more },
      });
      return answer.status;
    };
    expect(await statusFrom({})).toBe(403);
    expect(await statusFrom({ origin: "null" })).toBe(403);
    expect(await statusFrom({ origin: "http://evil.example" })).toBe(403);
    expect(await statusFrom({ origin: "http://localhost" })).toBe(303);
  });

  test("is no way into the rest of the service, and JSON none into the board", async () => {
    const { submit, send } = createBoard();
    const form = await submit("/register", { phone_number: "901234567" }, { "x-api-key": API_KEY });
    expect(form.status).toBe(415);
    const json = await send("/board/sign-in", {
      method: "POST",
      body: "{}",
      headers: { "content-type": "application/json", "sec-fetch-site": "same-origin" },
    });
    expect(json.status).toBe(415);
  });

  test.each([
    ["accept", {}],
    ["accept", { seen: "nowhere" }],
    ["start", { seen: "new" }],
    ["burn", { seen: "new" }],
    ["cancel", { seen: "new" }],
    ["cancel", { seen: "new", reason: "whim" }],
    ["cancel", { seen: "new", reason: "area", note: "x".repeat(301) }],
    ["cancel", { seen: "new", reason: "area", note: "a\u0000b" }],
    ["undo", { seen: "new" }],
    ["refund", { seen: "new" }],
    ["refund", { seen: "new", reference: " " }],
  ])("to %s with %p changes nothing", async (verb, form) => {
    const { signIn, order, look } = createBoard();
    const id = await order();
    const { submit } = await signIn("Aziza");
    const { status } = await submit(`/board/orders/${id}/${verb}`, form);
    expect(status).toBe(422);
    expect((await look(id))["stage"]).toBe("new");
  });
});

describe("the board", () => {
  test("leads an order from new to completed, by whom its page says", async () => {
    const { signIn, order, look } = createBoard();
    const id = await order({ address: "Nukus 3" }, "+998901234567", "Nigora");
    const { read, submit } = await signIn("Aziza");
    const { text } = await read("/board");
    expect(text).toContain("Nukus 3");
    expect(text).toContain("<title>(1) ");
    for (const [verb, seen] of [
      ["accept", "new"],
      ["start", "accepted"],
      ["complete", "in_progress"],
    ]) {
      const { status, headers } = await submit(`/board/orders/${id}/${verb}`, { seen });
      expect([status, headers.get("location")]).toEqual([303, `/board?done=${id}`]);
    }
    expect((await look(id))["stage"]).toBe("completed");
    const { text: card } = await read(`/board/orders/${id}`);
    expect(card.match(/<b>Aziza<\/b>/g)).toHaveLength(3);
    expect((await read("/board")).text).not.toContain(`id="order-${id}"`);
  });

  test("tells the second of two who was first and when, and changes nothing", async () => {
    const { signIn, order, look } = createBoard();
    const id = await order();
    const [first, second] = [await signIn("Aziza"), await signIn("Bekzod")];
    await first.submit(`/board/orders/${id}/accept`, { seen: "new" });
    const answer = await second.submit(`/board/orders/${id}/cancel`, {
      ...{ seen: "new", reason: "area", owed: "yes" },
    });
    expect(answer.status).toBe(409);
    const text = await answer.text();
    expect(text).toContain("Aziza");
    expect(text).toContain("14:30");
    expect(text).toContain("stage_changed");
    expect(await look(id)).toMatchObject({ stage: "accepted", refund: null });
  });

  test("offers the way back in its notice, and takes it", async () => {
    const { signIn, order, look } = createBoard();
    const id = await order();
    const { read, submit } = await signIn("Aziza");
    await submit(`/board/orders/${id}/accept`, { seen: "new" });
    expect((await read(`/board?done=${id}`)).text).toContain(`/board/orders/${id}/undo`);
    await submit(`/board/orders/${id}/undo`, { seen: "accepted" });
    expect((await look(id))["stage"]).toBe("new");
    expect((await read(`/board?done=${id}`)).text).not.toContain(`/board/orders/${id}/undo`);
  });

  test("lists money that is to be given back until somebody has", async () => {
    const { signIn, order, look } = createBoard();
    const id = await order();
    const { read, submit } = await signIn("Aziza");
    const cancel = { seen: "new", reason: "no_specialist", note: "all busy", owed: "yes" };
    await submit(`/board/orders/${id}/cancel`, cancel);
    expect((await read("/board")).text).toContain(`№ ${id} · 300`);
    const { text } = await read(`/board/orders/${id}`);
    expect(text).toContain("all busy");
    await submit(`/board/orders/${id}/refund`, { seen: "cancelled", reference: "r-17" });
    expect((await look(id))["refund"]).toBe("given");
    expect((await read("/board")).text).not.toContain(`№ ${id} · 300`);
    expect((await read(`/board/orders/${id}`)).text).toContain("r-17");
  });

  test("shows what customers have written as text", async () => {
    const { signIn, order } = createBoard();
    const evil = `<script>alert(1)</script>"'&`;
    const id = await order({ address: evil, comment: evil }, "+998901234567", evil);
    const { read } = await signIn("Aziza");
    for (const path of [
      "/board",
      `/board/orders/${id}`,
      "/board/days",
      `/board/search?q=${encodeURIComponent(evil)}`,
    ]) {
      const { text } = await read(path);
      expect(text).not.toContain("<script>alert");
      expect(text).toContain("&lt;script&gt;alert(1)");
    }
  });

  test("hides a number in lists and on new and closed orders; who looks leaves an event", async () => {
    const { signIn, order } = createBoard();
    const id = await order();
    const { read, submit } = await signIn("Aziza");
    const shown = /\+998\u00a090\u00a0123\u00a045\u00a067/;
    for (const path of ["/board", `/board/orders/${id}`, "/board/days"]) {
      expect((await read(path)).text).not.toMatch(shown);
      expect((await read(path)).text).not.toContain("901234567");
    }
    expect((await submit(`/board/orders/${id}/phone`, {})).status).toBe(303);
    const { text } = await read(`/board/orders/${id}`);
    expect(text).toMatch(shown);
    expect(text).toContain("Номер показан");
    // Not to others, who have not asked.
    expect((await (await signIn("Bekzod")).read(`/board/orders/${id}`)).text).not.toMatch(shown);
    await submit(`/board/orders/${id}/accept`, { seen: "new" });
    expect((await (await signIn("Bekzod")).read("/board")).text).toMatch(shown);
  });

  test("turns amber after 5 minutes and red after 15, while an order is new", async () => {
    const { signIn, order, world } = createBoard();
    const id = await order();
    const { read } = await signIn("Aziza");
    const classes = async () =>
      new RegExp(`class="card ([^"]*)"\\s+id="order-${id}"`).exec((await read("/board")).text)?.[1];
    expect(await classes()).toBe("new ");
    world.nowMs += 5 * MINUTE_MS;
    expect(await classes()).toBe("new amber");
    world.nowMs += 10 * MINUTE_MS;
    expect(await classes()).toBe("new red");
  });

  test("speaks three languages, with the plurals of each", async () => {
    const { signIn, order, send } = createBoard();
    const { cookie } = await signIn("Aziza");
    const read = async (language: string) => {
      const answer = await send("/board", { headers: { cookie: `${cookie}; lang=${language}` } });
      return answer.text();
    };
    await order();
    expect(await read("ru")).toContain("<b>1</b> заказ<");
    await order();
    expect(await read("ru")).toContain("<b>2</b> заказа<");
    for (let n = 0; n < 3; n++) await order();
    expect(await read("ru")).toContain("<b>5</b> заказов<");
    expect(await read("uz")).toContain("<b>5</b> buyurtma<");
    expect(await read("en")).toContain("<b>5</b> orders<");
    expect(await read("tlh")).toContain('<html lang="ru">');
    const chosen = await send("/board/language/uz?to=/board/days");
    expect(chosen.headers.get("set-cookie")).toStartWith("lang=uz;");
    expect(chosen.headers.get("location")).toBe("/board/days");
  });

  test("has a policy that lets nothing in from elsewhere, and nobody keep a page", async () => {
    const { signIn } = createBoard();
    const { headers } = await (await signIn("Aziza")).read("/board");
    expect(headers.get("content-security-policy")).toStartWith(
      "default-src 'none'; script-src 'self'",
    );
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    expect(headers.get("content-security-policy")).not.toContain("unsafe");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
  });
});

describe("the search", () => {
  test.each(["1", "№ 1", "+998 90 123-45-67", "901234567", "4567", "34567"])(
    "finds an order by %p",
    async (text) => {
      const { signIn, order } = createBoard();
      await order();
      const { status, headers } = await (
        await signIn("Aziza")
      ).read(`/board/search?q=${encodeURIComponent(text)}`);
      expect([status, headers.get("location")]).toEqual([303, "/board/orders/1"]);
    },
  );

  test.each(["567", "99", "%", "____", "", "9999"])("finds nothing by %p", async (text) => {
    const { signIn, order } = createBoard();
    await order();
    const { status, text: page } = await (
      await signIn("Aziza")
    ).read(`/board/search?q=${encodeURIComponent(text)}`);
    expect(status).toBe(200);
    expect(page).toContain("Ничего не найдено");
  });
});

describe("the days", () => {
  test("count orders and money by the day in Tashkent", async () => {
    const { signIn, order, world } = createBoard();
    world.nowMs = Date.UTC(2026, 10, 24, 18, 59);
    await order();
    world.nowMs += 2 * MINUTE_MS;
    await order();
    await order();
    const { read, submit } = await signIn("Aziza");
    await submit("/board/orders/3/cancel", { seen: "new", reason: "other" });
    const { text } = await read("/board/days");
    expect(text).toContain("25.11: 2 ");
    expect(text).toContain("24.11: 1 ");
    const { text: day } = await read("/board/days?day=2026-11-24");
    expect(day).toContain("/board/orders/1");
    expect(day).not.toContain("/board/orders/2");
    const { text: cancelled } = await read("/board/days?stage=cancelled");
    expect(cancelled).toContain("/board/orders/3");
    expect(cancelled).not.toContain("/board/orders/2");
  });

  test.each(["day=x", "day=2026-99-99", "stage=x", "limit=-1", "limit=99999"])(
    "stand also for %p, which is nothing",
    async (query) => {
      const { signIn } = createBoard();
      expect((await (await signIn("Aziza")).read(`/board/days?${query}`)).status).toBe(200);
    },
  );

  test("show more of a day where there is more", async () => {
    const { signIn, order } = createBoard();
    for (let n = 0; n < 51; n++) await order();
    const { read } = await signIn("Aziza");
    const rows = (text: string) => text.match(/<tr data-order/g)?.length;
    const { text } = await read("/board/days");
    expect(rows(text)).toBe(50);
    expect(text).toContain("limit=100");
    expect(rows((await read("/board/days?limit=100")).text)).toBe(51);
  });
});
