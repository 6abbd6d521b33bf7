import { describe, expect, test } from "bun:test";
import { createBoard } from "../support/board.ts";
import { API_KEY, KEYS } from "../support/dispatchers.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Returns the path and query, encoded as in a `Location` header. */
function targetOf(path: string): string {
  const { pathname, search } = new URL(path, "http://localhost");
  return pathname + search;
}

describe("the sign-in", () => {
  test("is required for every page and form", async () => {
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

  test("leads on to the requested page, and to no other site", async () => {
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

  test("accepts right keys while wrong ones are limited to ten a minute", async () => {
    const { submit, world } = createBoard();
    const tryKey = (key: string) => submit("/board/sign-in", { key });
    for (let n = 0; n < 10; n++) expect((await tryKey("wrong")).status).toBe(403);
    world.nowMs += 1000;
    const limited = await tryKey("wrong");
    expect([limited.status, limited.headers.get("retry-after")]).toEqual([429, "59"]);
    expect(await limited.text()).toContain("Слишком много попыток");
    for (let n = 0; n < 20; n++) expect((await tryKey(KEYS.Aziza)).status).toBe(303);
    expect((await tryKey("wrong")).status).toBe(429);
    world.nowMs += MINUTE_MS - 1000;
    expect((await tryKey("wrong")).status).toBe(403);
  });

  test("logs wrong keys without the key, at most ten a minute", async () => {
    const { submit, world } = createBoard();
    for (let n = 0; n < 12; n++) await submit("/board/sign-in", { key: "not-a-key-of-anyone" });
    const warnings = world.lines.filter((line) => line.startsWith("Warning: "));
    expect(warnings).toHaveLength(10);
    expect(warnings[0]).toMatch(
      /^Warning: Refused a sign-in to the board: wrong key \(request \S+\)\.$/,
    );
    expect(world.lines.join()).not.toContain("not-a-key-of-anyone");
  });

  test("sets an HttpOnly cookie, also Secure if PUBLIC_URL is https", async () => {
    const plain = await createBoard().submit("/board/sign-in", { key: KEYS.Aziza });
    expect(plain.headers.get("set-cookie")).toMatch(
      /^nmservis-[0-9a-f]{8}=Aziza\.\d+\.[\w-]+; Max-Age=43200; Path=\/; HttpOnly; SameSite=Lax$/,
    );
    const { submit } = createBoard({ PUBLIC_URL: "https://orders.example.uz" });
    const secure = await submit("/board/sign-in", { key: KEYS.Aziza });
    expect(secure.headers.get("set-cookie")).toMatch(
      /^__Host-nmservis-[0-9a-f]{8}=.*; HttpOnly; SameSite=Lax; Secure$/,
    );
  });

  test("is separate for two services on one host and shared by the instances of one", async () => {
    const nameWith = async (settings: Record<string, string>) => {
      const answer = await createBoard(settings).submit("/board/sign-in", { key: KEYS.Aziza });
      return answer.headers.get("set-cookie")?.split("=")[0];
    };
    const postgres = (user: string, name: string) => `postgres://${user}@127.0.0.1/${name}`;
    const shop = { PUBLIC_URL: "https://orders.example.uz" };
    const names = [
      await nameWith({ PORT: "8001" }),
      await nameWith({ PORT: "8002" }),
      await nameWith({ PORT: "8001", DATABASE_URL: "file:/other/nmservis.db" }),
      await nameWith({ DATABASE_URL: postgres("a:secret", "one") }),
      await nameWith({ DATABASE_URL: postgres("a:secret", "two") }),
      await nameWith({ PUBLIC_URL: "http://orders.example.uz:8001" }),
      await nameWith(shop),
    ];
    expect(new Set(names).size).toBe(names.length);
    expect(await nameWith({ PORT: "8001" })).toBe(names[0]);
    expect(await nameWith({ PORT: "8001", DATABASE_URL: postgres("b:other", "one") })).toBe(
      names[3],
    );
    expect(await nameWith({ ...shop, PORT: "8003" })).toBe(names[6]);
  });

  test("is invalid while it lies in the future, after the clock was ahead", async () => {
    const { signIn, world } = createBoard();
    world.nowMs += 24 * HOUR_MS;
    const { read } = await signIn("Aziza");
    world.nowMs -= MINUTE_MS;
    expect((await read("/board")).status).toBe(303);
    world.nowMs -= 23 * HOUR_MS;
    expect((await read("/board")).status).toBe(303);
  });

  test("tolerates 5 s between the clocks of two instances", async () => {
    const { signIn, world } = createBoard();
    const { read } = await signIn("Aziza");
    world.nowMs -= 5000;
    expect((await read("/board")).status).toBe(200);
    world.nowMs -= 1;
    expect((await read("/board")).status).toBe(303);
  });

  test("expires after twelve hours", async () => {
    const { signIn, world } = createBoard();
    const { read } = await signIn("Aziza");
    world.nowMs += 12 * HOUR_MS - 1;
    expect((await read("/board")).status).toBe(200);
    world.nowMs += 1;
    expect((await read("/board")).status).toBe(303);
  });

  test("rejects forged cookies, and cookies of removed keys", async () => {
    const { signIn, send, world } = createBoard();
    const { cookie } = await signIn("Aziza");
    const [, endsAt, signature] = cookie.split(".");
    const [name] = cookie.split("=");
    const statusWith = async (value: string, by = send) =>
      (await by("/board", { headers: { cookie: value } })).status;
    expect(await statusWith(cookie)).toBe(200);
    for (const forged of [
      `${name}=Bekzod.${endsAt}.${signature}`,
      `${name}=Aziza.${Number(endsAt) + 1}.${signature}`,
      `${name}=Aziza.${endsAt}.${signature?.slice(1)}`,
      `${name}=Aziza.${endsAt}.`,
      `${name}=Aziza..${signature}`,
      `${name}=`,
      `${name}=%`,
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

test("board › is absent with API_KEY but no dispatchers, and open locally with neither", async () => {
  const closed = createBoard({ DISPATCHERS: "" });
  expect((await closed.send("/board", { headers: { "x-api-key": API_KEY } })).status).toBe(404);
  const open = createBoard({ API_KEY: "", DISPATCHERS: "" });
  const { status } = await open.send("/board");
  expect(status).toBe(200);
});

describe("board form", () => {
  test("is rejected from other sites", async () => {
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

  test("needs the same origin from browsers without Sec-Fetch-Site", async () => {
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

  test("is not accepted by the API, nor JSON by the board", async () => {
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
  ])("%s with %p is rejected and changes nothing", async (verb, form) => {
    const { signIn, order, look } = createBoard();
    const id = await order();
    const { submit } = await signIn("Aziza");
    const { status } = await submit(`/board/orders/${id}/${verb}`, form);
    expect(status).toBe(422);
    expect((await look(id))["stage"]).toBe("new");
  });
});

describe("the board", () => {
  test("takes an order from new to completed, and records who did it", async () => {
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
    expect(card.match(/<b><bdi>Aziza<\/bdi><\/b>/g)).toHaveLength(3);
    expect((await read("/board")).text).not.toContain(`id="order-${id}"`);
  });

  test("tells the second of two dispatchers who was first, and changes nothing", async () => {
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

  test("refuses the forms of a page that was shown to another dispatcher, and names the new one", async () => {
    const { signIn, order, look } = createBoard();
    const id = await order();
    const [aziza, bekzod] = [await signIn("Aziza"), await signIn("Bekzod")];
    const page = (await aziza.read(`/board/orders/${id}`)).text;
    const forms = page.split('<form method="post" action="').slice(1);
    const actions = forms.flatMap((form) => {
      const action = form.slice(0, form.indexOf('"'));
      return form.includes('name="viewer" value="Aziza"') ? [action] : [];
    });
    expect(actions.toSorted()).toEqual(
      ["accept", "cancel", "phone"].map((verb) => `/board/orders/${id}/${verb}`),
    );
    const form = { viewer: "Aziza", seen: "new", reason: "area" };
    for (const action of actions) {
      const answer = await bekzod.submit(action, form);
      expect(answer.status).toBe(409);
      const text = await answer.text();
      expect(text).toContain('data-code="other_viewer"');
      expect(text).toContain("Сейчас в этом браузере работает <bdi>Bekzod</bdi>.");
    }
    expect((await look(id))["stage"]).toBe("new");
    expect((await bekzod.read(`/board/orders/${id}`)).text).toContain("/phone");
    expect((await aziza.submit(`/board/orders/${id}/accept`, form)).status).toBe(303);
  });

  test("refuses a form whose stage has been left and entered again", async () => {
    const { signIn, order, look, world } = createBoard();
    const id = await order();
    const [aziza, bekzod] = [await signIn("Aziza"), await signIn("Bekzod")];
    /** Returns the fields of the form on a page. */
    const fieldsOf = async (verb: string, page: string) => {
      const { text } = await aziza.read(page);
      const form = text.split(`action="/board/orders/${id}/${verb}"`)[1]?.split("</form>")[0] ?? "";
      const fields = form.matchAll(/name="(seen|seen_at)"\s+value="(\w+)"/g);
      return Object.fromEntries(Array.from(fields, ([, name, value]) => [name, value]));
    };
    const seen = await fieldsOf("accept", "/board");
    expect(seen).toEqual({ seen: "new", seen_at: String(world.nowMs) });
    expect(await fieldsOf("cancel", `/board/orders/${id}`)).toEqual(seen);
    world.nowMs += 1000;
    await aziza.submit(`/board/orders/${id}/accept`, seen);
    const undo = await fieldsOf("undo", `/board/orders/${id}`);
    expect(undo).toEqual({ seen: "accepted", seen_at: String(world.nowMs) });
    expect(await fieldsOf("undo", `/board?done=${id}`)).toEqual(undo);
    world.nowMs += 1000;
    await aziza.submit(`/board/orders/${id}/undo`, undo);
    world.nowMs += 1000;
    await bekzod.submit(`/board/orders/${id}/accept`, { seen: "new" });
    expect((await aziza.submit(`/board/orders/${id}/undo`, undo)).status).toBe(409);
    expect((await look(id))["stage"]).toBe("accepted");
  });

  test("offers an undo in its notice, once", async () => {
    const { signIn, order, look } = createBoard();
    const id = await order();
    const { read, submit } = await signIn("Aziza");
    await submit(`/board/orders/${id}/accept`, { seen: "new" });
    expect((await read(`/board?done=${id}`)).text).toContain(`/board/orders/${id}/undo`);
    await submit(`/board/orders/${id}/undo`, { seen: "accepted" });
    expect((await look(id))["stage"]).toBe("new");
    expect((await read(`/board?done=${id}`)).text).not.toContain(`/board/orders/${id}/undo`);
  });

  test("shows the notice of a step for a minute, with the call that follows", async () => {
    const { signIn, order, world } = createBoard();
    const id = await order();
    const { read, submit } = await signIn("Aziza");
    await submit(`/board/orders/${id}/accept`, { seen: "new" });
    const notice = async () =>
      /<div class="notice".*?<\/div>/s.exec((await read(`/board?done=${id}`)).text)?.[0];
    expect(await notice()).toContain('href="tel:+998901234567"');
    world.nowMs += MINUTE_MS - 1;
    expect(await notice()).toContain("/undo");
    world.nowMs += 1;
    expect(await notice()).toBeUndefined();
    expect((await read(`/board/orders/${id}`)).text).toContain("/undo");
  });

  test("announces the notice in a status region that is there before it", async () => {
    const { signIn, order } = createBoard();
    const id = await order();
    const { read, submit } = await signIn("Aziza");
    const region = '<div id="notice" role="status">';
    expect((await read("/board")).text).toContain(`${region}</div>`);
    await submit(`/board/orders/${id}/accept`, { seen: "new" });
    expect((await read(`/board?done=${id}`)).text).toContain(`${region}<div class="notice">`);
  });

  test("shows the order of the last step first in its stage, and returns to that stage", async () => {
    const { signIn, order } = createBoard();
    const ids = [await order(), await order(), await order()];
    const { read, submit } = await signIn("Aziza");
    for (const id of ids) await submit(`/board/orders/${id}/accept`, { seen: "new" });
    const listed = async (path: string) =>
      Array.from((await read(path)).text.matchAll(/id="order-(\d+)"/g), ([, id]) => Number(id));
    expect(await listed("/board")).toEqual([1, 2, 3]);
    expect(await listed("/board?done=3")).toEqual([3, 1, 2]);
    expect(await listed("/board?done=3&limit=1")).toEqual([3, 1]);
    expect((await read("/board/orders/3")).text).toContain(
      'class="back" href="/board?stage=accepted"',
    );
    // Undoing a step does not move the order to the top.
    await submit("/board/orders/3/undo", { seen: "accepted" });
    await order();
    expect(await listed("/board?done=3")).toEqual([3, 4, 1, 2]);
  });

  test("refreshes itself without scripts, unlike an order's page, whose input would be lost", async () => {
    const { order, signIn } = createBoard();
    const id = await order();
    const { read } = await signIn("Aziza");
    expect((await read("/board")).text).toContain('<noscript><meta http-equiv="refresh"');
    expect((await read(`/board/orders/${id}`)).text).not.toContain("http-equiv");
  });

  test("says that there are more refunds, search results and orders of a day than shown", async () => {
    const { signIn, order } = createBoard();
    const { read, submit } = await signIn("Aziza");
    for (let n = 1; n <= 101; n++) {
      const id = await order();
      const form = { seen: "new", reason: "area", owed: "yes" };
      if (n <= 11) await submit(`/board/orders/${id}/cancel`, form);
      if (n === 10) expect((await read("/board")).text).toMatch(/<b>10<\/b>\s+К возврату/);
    }
    const { text } = await read("/board");
    expect(text).toMatch(/<b>10\+<\/b>\s+К возврату/);
    expect((await read("/board/search?q=4567")).text).toContain("Показано 100 из 100+");
    expect((await read("/board/days")).text).toContain("Показано 50 из 50+");
    expect((await read("/board/days?limit=150")).text).not.toContain("Показано");
  });

  test("lists refunds until they are recorded", async () => {
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

  test("escapes text written by customers", async () => {
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

  test("masks phone numbers of new and closed orders, and records who revealed one", async () => {
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
    // Other dispatchers still see the masked number.
    expect((await (await signIn("Bekzod")).read(`/board/orders/${id}`)).text).not.toMatch(shown);
    await submit(`/board/orders/${id}/accept`, { seen: "new" });
    expect((await (await signIn("Bekzod")).read("/board")).text).toMatch(shown);
  });

  test("shows a revealed number for ten minutes, even if it was revealed while the clock was ahead", async () => {
    const { signIn, order, world } = createBoard();
    const id = await order();
    const { read, submit } = await signIn("Aziza");
    const isShown = async () =>
      (await read(`/board/orders/${id}`)).text.includes("+998\u00a090\u00a0123\u00a045\u00a067");
    world.nowMs += HOUR_MS;
    await submit(`/board/orders/${id}/phone`, {});
    world.nowMs -= MINUTE_MS;
    expect(await isShown()).toBe(false);
    world.nowMs += 11 * MINUTE_MS - 1;
    expect(await isShown()).toBe(true);
    world.nowMs += 1;
    expect(await isShown()).toBe(false);
  });

  test("marks an order paid in the future as late, and shows its time", async () => {
    const { signIn, order, world } = createBoard();
    world.nowMs += 24 * HOUR_MS;
    const id = await order();
    world.nowMs -= 24 * HOUR_MS;
    const { text } = await (await signIn("Aziza")).read("/board");
    expect(text).toMatch(new RegExp(`class="card new red"\\s+id="order-${id}"`));
    expect(text).toContain(`<time class="age">24.11 14:30</time>`);
  });

  test("shows the age of an old order in days", async () => {
    const { signIn, order, world } = createBoard();
    await order();
    world.nowMs += 10_000 * 24 * HOUR_MS;
    const { text } = await (await signIn("Aziza")).read("/board");
    expect(text).toContain(`<time class="age">10000\u00a0дн.</time>`);
  });

  test("marks an order amber and red by the time since it entered its stage", async () => {
    const { signIn, order, world } = createBoard();
    const id = await order();
    const { read, submit } = await signIn("Aziza");
    const classes = async () =>
      new RegExp(`class="card ([^"]*)"\\s+id="order-${id}"`).exec((await read("/board")).text)?.[1];
    for (const [stage, amber, red, next] of [
      ["new", 5, 15, "accept"],
      ["accepted", 15, 30, "start"],
      ["in_progress", 120, 240, "complete"],
    ] as const) {
      expect(await classes()).toBe(`${stage} `);
      expect((await read("/board")).text).toContain(`<time class="age">только что</time>`);
      world.nowMs += amber * MINUTE_MS - 1;
      expect(await classes()).toBe(`${stage} `);
      world.nowMs += 1;
      expect(await classes()).toBe(`${stage} amber`);
      world.nowMs += (red - amber) * MINUTE_MS;
      expect(await classes()).toBe(`${stage} red`);
      expect((await read(`/board/orders/${id}`)).text).toContain(`<h1 class="red">`);
      await submit(`/board/orders/${id}/${next}`, { seen: stage });
    }
  });

  test("says how many orders a column does not show, and links to more", async () => {
    const { signIn, order } = createBoard();
    for (let n = 0; n < 5; n++) await order();
    const { read } = await signIn("Aziza");
    const shown = (text: string) => text.match(/id="order-\d+"/g)?.length;
    const { text } = await read("/board?limit=2");
    expect(shown(text)).toBe(2);
    expect(text).toContain("Показано 2 из 5");
    expect(text).toContain(`href="/board?stage=new&limit=102"`);
    const { text: all } = await read("/board?stage=new&limit=102");
    expect(shown(all)).toBe(5);
    expect(all).not.toContain("Показано");
    for (const limit of ["0", "-1", "x", "1001", "2.5"]) {
      expect(shown((await read(`/board?limit=${limit}`)).text)).toBe(5);
    }
  });

  test("returns to the same tab and limit after a step, and to no other site", async () => {
    const { signIn, order } = createBoard();
    const { submit } = await signIn("Aziza");
    const after = async (back: string) => {
      const id = await order();
      const form = { seen: "new", back };
      const { headers } = await submit(`/board/orders/${id}/accept`, form);
      return headers.get("location")?.replace(String(id), "ID");
    };
    expect(await after("/board?stage=accepted&limit=200&done=7")).toBe(
      "/board?stage=accepted&limit=200&done=ID",
    );
    expect(await after("/board/orders/3")).toBe("/board/orders/3");
    for (const back of ["//evil.example/board", "https://evil.example", "/metrics", "order", ""]) {
      expect(await after(back)).toBe("/board?done=ID");
    }
  });

  test("compresses pages above 1 KB if the client accepts gzip", async () => {
    const { signIn, order, send, submit } = createBoard();
    for (let n = 0; n < 100; n++) await order({ address: "Nukus 3" });
    const { cookie } = await signIn("Aziza");
    const get = (encoding: string) =>
      send("/board", { headers: { cookie, "accept-encoding": encoding } });
    const plain = await (await get("identity, gzip;q=0")).text();
    const answer = await get("br, gzip");
    expect(answer.headers.get("content-encoding")).toBe("gzip");
    expect(answer.headers.get("vary")).toBe("Accept-Encoding");
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const bytes = new Uint8Array(await answer.arrayBuffer());
    expect(bytes.length).toBeLessThan(plain.length / 10);
    expect(new TextDecoder().decode(Bun.gunzipSync(bytes))).toBe(plain);
    const conflict = await submit(
      "/board/orders/1/start",
      { seen: "accepted" },
      { cookie, "accept-encoding": "gzip" },
    );
    expect([conflict.status, conflict.headers.get("content-encoding")]).toEqual([409, "gzip"]);
    const signInPage = await send("/board/sign-in", { headers: { "accept-encoding": "gzip" } });
    expect(signInPage.headers.get("content-encoding")).toBe("gzip");
    const redirect = await submit(
      "/board/orders/1/accept",
      { seen: "new" },
      { cookie, "accept-encoding": "gzip" },
    );
    expect([redirect.status, redirect.headers.get("content-encoding")]).toEqual([303, null]);
  });

  test("has scripts of less than 12 KB in total", async () => {
    const { send } = createBoard();
    let bytes = 0;
    for (const path of ["/board/board.js", "/board/sign-in.js"]) {
      const text = await (await send(path)).text();
      expect(text).toStartWith(`"use strict";`);
      bytes += Buffer.byteLength(text);
    }
    expect(bytes).toBeLessThan(12_000);
  });

  test("has a manifest and icons that need no session", async () => {
    const { send } = createBoard();
    const page = await send("/board/sign-in");
    expect(page.headers.get("content-security-policy")).toContain("manifest-src 'self'");
    const [, path = ""] = /<link rel="manifest" href="([^"]+)"/.exec(await page.text()) ?? [];
    const answer = await send(path);
    expect(answer.headers.get("content-type")).toStartWith("application/manifest+json");
    // `as`: the icons are checked below.
    const { icons, ...manifest } = (await answer.json()) as {
      icons: { src: string; type: string; sizes: string; purpose?: string }[];
    };
    expect(manifest).toMatchObject({ start_url: "/board", scope: "/board", display: "standalone" });
    const found = await Promise.all(
      icons.map(async ({ src, type, purpose = "any" }) => {
        const image = await send(src);
        expect(image.headers.get("content-type")).toStartWith(type);
        const bytes = Buffer.from(await image.arrayBuffer());
        // Width and height in the header chunk (PNG specification, section 11.2.1).
        return `${purpose} ${bytes.readUInt32BE(16)}x${bytes.readUInt32BE(20)}`;
      }),
    );
    expect(found).toEqual(["any 192x192", "any 512x512", "maskable 512x512"]);
    expect(icons.map(({ sizes }) => sizes)).toEqual(found.map((icon) => icon.replace(/^\w+ /, "")));
  });

  test("chooses no cancel reason by default, and requires one", async () => {
    const { signIn, order } = createBoard();
    const id = await order();
    const { read } = await signIn("Aziza");
    for (const path of ["/board", `/board/orders/${id}`]) {
      const radios = (await read(path)).text.match(/<input\s+type="radio"[^>]*>/g) ?? [];
      expect(radios).toHaveLength(6);
      for (const radio of radios) {
        expect(radio).toContain("required");
        expect(radio).not.toContain("checked");
      }
    }
  });

  test("links an address to a map, and a shown number to a call", async () => {
    const { signIn, order } = createBoard();
    const id = await order({ address: `"Nukus" & 3?` });
    const { read, submit } = await signIn("Aziza");
    const map = "https://yandex.com/maps/?text=%22Nukus%22%20%26%203%3F";
    expect((await read("/board")).text).toContain(`href="${map}"`);
    expect((await read("/board")).text).not.toContain("tel:");
    await submit(`/board/orders/${id}/accept`, { seen: "new" });
    for (const path of ["/board", `/board/orders/${id}`]) {
      expect((await read(path)).text).toContain(`href="tel:+998901234567"`);
    }
  });

  test("has three languages with their plurals", async () => {
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

  test.each([
    "/board",
    "/board?done=1",
    "/board/days?day=2026-11-20&stage=cancelled&limit=100",
    "/board/orders/1",
    `/board/search?q=${encodeURIComponent("Ali & +998 90'\"<")}`,
  ])("comes back to %s after a change of language, and after the sign-in", async (path) => {
    const { signIn, order, send, submit } = createBoard();
    await order();
    const { read } = await signIn("Aziza");
    const { text } = await read(path);
    const link = /href="(\/board\/language\/uz[^"]*)"/.exec(text)?.[1] ?? "";
    const changed = await send(link);
    expect(changed.headers.get("location")).toBe(targetOf(path));
    const anonymous = await send(path);
    const page = await (await send(anonymous.headers.get("location") ?? "")).text();
    const to = /name="to" value="([^"]*)"/.exec(page)?.[1]?.replaceAll("&amp;", "&") ?? "";
    const signedIn = await submit("/board/sign-in", { key: KEYS.Aziza, to });
    expect(signedIn.headers.get("location")).toBe(targetOf(path));
  });

  test.each([
    "//evil.example",
    "//evil.example/board",
    "/\\evil.example/board",
    "https://evil.example/board",
    "http://localhost:1/board",
    "http://localhost@evil.example/board",
    "javascript:alert(1)",
    "/board/../..",
    "/board/../metrics",
    "/board/%2e%2e/metrics",
    "/board/%2e%2e%2fmetrics",
    "/board\\..\\metrics",
    "/board/orders/1/../../../metrics",
    "/boardx",
    "/board/sign-out",
    "/board/changes",
    "/board/language/uz",
    "/board/orders/x",
    "/board\u0000",
    "",
  ])("does not redirect to %j after a change of language or the sign-in", async (to) => {
    const { send, submit } = createBoard();
    const changed = await send(`/board/language/uz?to=${encodeURIComponent(to)}`);
    expect(changed.headers.get("location")).toBe("/board");
    const signedIn = await submit("/board/sign-in", { key: KEYS.Aziza, to });
    expect(signedIn.headers.get("location")).toBe("/board");
  });

  test("keeps control characters out of redirects", async () => {
    const { send } = createBoard();
    const to = encodeURIComponent("/bo\tard/days?day=\r\nx: y\u0000");
    const { headers } = await send(`/board/language/uz?to=${to}`);
    expect(headers.get("location")).toBe("/board/days?day=x:%20y");
    expect(headers.has("x")).toBe(false);
  });

  test("forbids foreign content and caching", async () => {
    const { signIn } = createBoard();
    const { headers } = await (await signIn("Aziza")).read("/board");
    expect(headers.get("content-security-policy")).toStartWith(
      "default-src 'none'; script-src 'self'",
    );
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    expect(headers.get("content-security-policy")).not.toContain("unsafe");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("referrer-policy")).toBe("same-origin");
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

describe("days page", () => {
  test("compares today with the same time a week ago", async () => {
    const { signIn, order, world } = createBoard();
    const trend = async () => {
      const { text } = await (await signIn("Aziza")).read("/board/days");
      const [markup = ""] = /<p class="trend".*?<\/p>/s.exec(text) ?? [];
      return markup
        .replace(/<[^>]+>/g, " ")
        .replace(/\s+/g, " ")
        .trim();
    };
    expect(await trend()).toBe("Сегодня: 0 заказов 0 сум Неделю назад к этому времени: 0");
    await order();
    await order();
    world.nowMs += HOUR_MS;
    // Later in the day: not counted.
    await order();
    world.nowMs += 7 * 24 * HOUR_MS - HOUR_MS + 1;
    for (let n = 0; n < 5; n++) await order({}, `+99890123456${n}`);
    expect(await trend()).toBe(
      "Сегодня: 5 заказов 1,5 тыс. сум Неделю назад к этому времени: 2 (+150 %)",
    );
  });

  test("counts orders and revenue by the day in Tashkent", async () => {
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

  test.each(["stage=x", "limit=-1", "limit=99999"])("ignores %p", async (query) => {
    const { signIn } = createBoard();
    expect((await (await signIn("Aziza")).read(`/board/days?${query}`)).status).toBe(200);
  });

  test.each([
    "x",
    "",
    "2026-99-99",
    "2026-02-30",
    "2025-02-29",
    "2026-00-10",
    "11/26/2026",
    "2026-1-5",
    "2026-11",
    "2026",
    "20261126",
    "2026-11-20T10:00",
    " 2026-11-20",
    "2026-11-20\n",
    "+275760-09-13",
    "+275760-09-14",
    "-000001-01-01",
    "-271821-04-20",
    "٢٠٢٦-١١-٢٠",
  ])("shows today for the invalid date %j", async (day) => {
    const { signIn } = createBoard();
    const { status, text } = await (
      await signIn("Aziza")
    ).read(`/board/days?day=${encodeURIComponent(day)}`);
    expect(status).toBe(200);
    expect(text).toContain(`name="day" value="2026-11-23"`);
  });

  test.each(["0000-01-01", "1969-12-31", "2024-02-29", "9999-12-31"])("shows %s", async (day) => {
    const { signIn } = createBoard();
    const { status, text } = await (await signIn("Aziza")).read(`/board/days?day=${day}`);
    expect(status).toBe(200);
    expect(text).toContain(`name="day" value="${day}"`);
  });

  test("links to more orders of a day", async () => {
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
