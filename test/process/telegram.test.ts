import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { createTelegramDispatcher } from "../../src/adapters/telegram-dispatcher.ts";
import { createLog } from "../../src/log.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { failToStart, spawnService, temporaryFolder } from "../support/process.ts";
import { createServiceOn } from "../support/service.ts";
import { createDependencies, createWorld } from "../support/world.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const TOKEN = "12345:a-secret-of-the-bot";
const ORDER = {
  orderId: 7,
  amountTiyin: 3_000_000,
  tariffTitle: "Standard",
  paidAt: Date.UTC(2026, 10, 25, 9, 5),
};

const refusal = (description: string) => Response.json({ ok: false, description }, { status: 400 });

const tooMany = (parameters?: object) =>
  Response.json({ ok: false, description: "Too Many Requests", parameters }, { status: 429 });

/** Creates a dispatcher for a fake Telegram API that records requests and sends `chat.answer`. */
function createChat(publicUrl: string | null = null, threadId: number | null = null) {
  const requests: { url: string; body: Record<string, unknown> }[] = [];
  const lines: string[] = [];
  const chat = {
    nowMs: 0,
    answer: async (): Promise<Response> => Response.json({ ok: true }),
  };
  const dispatcher = createTelegramDispatcher({
    ...{ token: TOKEN, chatId: "-100", threadId, apiUrl: "https://telegram.example", publicUrl },
    fetch(url, init) {
      requests.push({ url, body: JSON.parse(String(init.body)) });
      return chat.answer();
    },
    log: createLog({
      level: "info",
      json: false,
      write: (line) => lines.push(line),
      now: () => chat.nowMs,
    }),
    now: () => chat.nowMs,
  });
  const notify = (order: object = {}, signal = new AbortController().signal) =>
    dispatcher.notify({ ...ORDER, ...order }, { signal });
  return { requests, lines, chat, notify };
}

describe("Telegram", () => {
  test("message contains order id, tariff, amount and time", async () => {
    const { requests, notify } = createChat();
    await notify();
    expect(requests).toEqual([
      {
        url: `https://telegram.example/bot${TOKEN}/sendMessage`,
        body: { chat_id: "-100", text: "№ 7 · Standard · 30\u00a0000 сум · 14:05" },
      },
    ]);
  });

  test("message links to the board only over https", async () => {
    const secure = createChat("https://orders.example.uz");
    await secure.notify();
    expect(secure.requests[0]?.body["reply_markup"]).toEqual({
      inline_keyboard: [[{ text: "№ 7", url: "https://orders.example.uz/board/orders/7" }]],
    });
    const plain = createChat("http://127.0.0.1:8000");
    await plain.notify();
    expect(plain.requests[0]?.body).not.toHaveProperty("reply_markup");
  });

  test.each([
    [15_050, "150,50"],
    [1, "0,01"],
    [Number.MAX_SAFE_INTEGER, "90\u00a0071\u00a0992\u00a0547\u00a0409,91"],
  ])("message shows %d tiyin as %s sum", async (amountTiyin, sum) => {
    const { requests, notify } = createChat();
    await notify({ amountTiyin });
    expect(requests[0]?.body["text"]).toBe(`№ 7 · Standard · ${sum} сум · 14:05`);
  });

  test("title with bidi characters cannot reorder the amount next to it", async () => {
    const { requests, notify } = createChat();
    await notify({ tariffTitle: "\u202eStan\u2066dard\u2069" });
    await notify({ tariffTitle: "ستاندرد" });
    expect(requests.map(({ body }) => body["text"])).toEqual([
      "№ 7 · Standard · 30\u00a0000 сум · 14:05",
      "№ 7 · \u2068ستاندرد\u2069 · 30\u00a0000 сум · 14:05",
    ]);
  });

  test("long title is truncated at a character boundary", async () => {
    const { requests, notify } = createChat();
    await notify({ tariffTitle: "🛠".repeat(200) });
    const text = String(requests[0]?.body["text"]);
    expect(text.isWellFormed()).toBe(true);
    expect(text).toContain(`· ${"🛠".repeat(100)} ·`);
  });

  test.each([
    [
      "a refusal",
      async () => Response.json({ ok: false, description: "Forbidden" }, { status: 403 }),
      "403: Forbidden",
    ],
    [
      "a deleted topic",
      async () => refusal("Bad Request: message thread not found"),
      "400: Bad Request: message thread not found",
    ],
    [
      "a closed topic",
      async () => refusal("Bad Request: TOPIC_CLOSED"),
      "400: Bad Request: TOPIC_CLOSED",
    ],
    ["a proxy's error page", async () => new Response("<html>Bad Gateway", { status: 502 }), "502"],
    ["an invalid response", async () => new Response("null"), "200"],
    ["a closed connection", () => Promise.reject(new Error("socket closed")), "socket closed"],
  ])("%s fails the notification, which can be retried", async (_name, answer, reason) => {
    const { chat, notify } = createChat();
    chat.answer = answer;
    await expect(notify()).rejects.toThrow(reason);
    chat.answer = async () => Response.json({ ok: true });
    await notify();
  });

  test("errors do not contain the token", async () => {
    const { chat, notify } = createChat();
    chat.answer = () =>
      Promise.reject(new Error(`can't reach https://telegram.example/bot${TOKEN}/sendMessage`));
    const fault = await notify().catch((error: unknown) => error);
    expect(Bun.inspect(fault)).toContain("can't reach");
    expect(Bun.inspect(fault)).not.toContain("a-secret-of-the-bot");
  });

  test.each([
    ["30 s", { retry_after: 30 }, 30_000],
    ["1 s", { retry_after: 1 }, 1000],
    ["3 s without retry_after", undefined, 3000],
    ["3 s with an invalid retry_after", { retry_after: "soon" }, 3000],
    ["an hour at most", { retry_after: 86_400 }, 3_600_000],
  ])("429 stops calls for all orders for %s", async (_name, parameters, pauseMs) => {
    const { requests, chat, notify } = createChat();
    chat.answer = async () => tooMany(parameters);
    await expect(notify()).rejects.toMatchObject({ name: "Postponed", pauseMs });
    chat.answer = async () => Response.json({ ok: true });
    chat.nowMs = pauseMs - 1;
    await expect(notify({ orderId: 8 })).rejects.toMatchObject({ name: "Postponed", pauseMs: 1 });
    expect(requests).toHaveLength(1);
    chat.nowMs = pauseMs;
    await notify({ orderId: 8 });
    expect(requests).toHaveLength(2);
  });

  test("429 does not stop calls if the clock is set back", async () => {
    const { requests, chat, notify } = createChat();
    chat.answer = async () => tooMany({ retry_after: 30 });
    await expect(notify()).rejects.toThrow("429");
    chat.nowMs = -86_400_000;
    chat.answer = async () => Response.json({ ok: true });
    await notify();
    expect(requests).toHaveLength(2);
  });

  test.each([
    "Bad Request: BUTTON_URL_INVALID",
    "Bad Request: inline keyboard button URL 'https://b.uz/board' is invalid: Wrong HTTP URL",
    "Bad Request: REPLY_MARKUP_INVALID",
  ])("after %p, messages are sent without the button, with one warning", async (description) => {
    const { requests, lines, chat, notify } = createChat("https://b.uz");
    chat.answer = async () =>
      requests.at(-1)?.body["reply_markup"] ? refusal(description) : Response.json({ ok: true });
    await notify();
    await notify({ orderId: 8 });
    const texts = requests.map(({ body }) => [
      String(body["text"]).slice(0, 3),
      "reply_markup" in body,
    ]);
    expect(texts).toEqual([
      ["№ 7", true],
      ["№ 7", false],
      ["№ 8", false],
    ]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toStartWith("Warning: Telegram refuses the button to https://b.uz/board");
  });

  test("button is kept after an unrelated 400", async () => {
    const { requests, chat, notify } = createChat("https://b.uz");
    chat.answer = async () => refusal("Bad Request: chat not found");
    await expect(notify()).rejects.toThrow("chat not found");
    await expect(notify()).rejects.toThrow("chat not found");
    expect(requests.map(({ body }) => "reply_markup" in body)).toEqual([true, true]);
  });

  test("chat that has moved and refuses the button still gets the order", async () => {
    const { requests, chat, notify } = createChat("https://b.uz");
    chat.answer = async () => {
      const { chat_id, reply_markup } = requests.at(-1)?.body ?? {};
      if (reply_markup !== undefined) return refusal("Bad Request: BUTTON_URL_INVALID");
      const parameters = { migrate_to_chat_id: -200 };
      return chat_id === "-200"
        ? Response.json({ ok: true })
        : Response.json({ ok: false, parameters }, { status: 400 });
    };
    await notify();
    expect(requests).toHaveLength(3);
  });

  test("messages are sent to the topic", async () => {
    const { requests, notify } = createChat(null, 42);
    await notify();
    expect(requests[0]?.body).toMatchObject({ chat_id: "-100", message_thread_id: 42 });
  });

  test("chat that has moved gets messages under its new id, with one warning", async () => {
    const { requests, lines, chat, notify } = createChat();
    chat.answer = async () =>
      requests.length === 1
        ? Response.json({ ok: false, parameters: { migrate_to_chat_id: -200 } }, { status: 400 })
        : Response.json({ ok: true });
    await notify();
    await notify({ orderId: 8 });
    expect(requests.map(({ body }) => body["chat_id"])).toEqual(["-100", "-200", "-200"]);
    expect(
      lines.filter((line) => line.startsWith("Warning") && line.includes("-200")),
    ).toHaveLength(1);
  });
});

/** Creates a fake Telegram group with a limit of 20 messages per minute. */
function createGroup(now: () => number) {
  const group = { sentAt: [] as number[], texts: [] as string[], refusals: 0 };
  return {
    group,
    async fetch(_url: string, init: RequestInit) {
      const recent = group.sentAt.filter((at) => at > now() - 60_000);
      const [oldest = 0] = recent;
      if (recent.length >= 20) {
        group.refusals += 1;
        return tooMany({ retry_after: Math.ceil((oldest + 60_000 - now()) / 1000) });
      }
      group.sentAt.push(now());
      group.texts.push(String(JSON.parse(String(init.body)).text));
      return Response.json({ ok: true });
    },
  };
}

describe("Telegram group with a limit of 20 messages per minute", () => {
  test("gets 60 orders within three minutes, each once, without a failed attempt", async () => {
    const world = createWorld();
    const { group, fetch } = createGroup(() => world.nowMs);
    const given = createDependencies(world);
    const dispatcher = createTelegramDispatcher({
      ...{ token: TOKEN, chatId: "-100", threadId: null, publicUrl: null },
      ...{ apiUrl: "https://telegram.example", fetch, log: given.log, now: given.now },
    });
    const { userId, order, app, dependencies } = createServiceOn(
      { ...given, dispatcher },
      { ORDERS_PER_USER_PER_HOUR: "0" },
    );
    const user = await userId();
    const startedAt = world.nowMs;
    await Promise.all(
      Array.from({ length: 60 }, (_, at) => order(user, { "idempotency-key": `${at}` })),
    );
    await app.idle();
    expect(group.texts).toHaveLength(20);
    while (group.texts.length < 60 && world.nowMs < startedAt + 180_000) {
      world.nowMs += 1000;
      await app.workers.notify.runOnce();
      await app.idle();
    }
    expect(new Set(group.texts).size).toBe(60);
    expect(group.texts).toHaveLength(60);
    // One per minute: waiting orders cause no calls.
    expect(group.refusals).toBeLessThanOrEqual(3);
    expect(world.lines.filter((line) => line.startsWith("Warning"))).toEqual([]);
    const rows = await dependencies.store.run((tx) => tx.select().from(tx.tables.orders));
    expect(rows.filter(({ notifiedAt, attempts }) => notifiedAt === null || attempts > 1)).toEqual(
      [],
    );
  });
});

test("service notifies the chat of each paid order, retries after a 502, and never prints the token", async () => {
  using folder = temporaryFolder();
  const texts: string[] = [];
  const topics = new Set<number>();
  let calls = 0;
  using api = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      if (++calls === 1) return new Response("<html>", { status: 502 });
      // `as`: sent by our own adapter.
      const body = (await request.json()) as { text: string; message_thread_id: number };
      texts.push(body.text);
      topics.add(body.message_thread_id);
      return Response.json({ ok: true });
    },
  });
  await using service = await spawnService({
    DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    PAYMENT_STUB_DELAY_MS: "0",
    TELEGRAM_BOT_TOKEN: TOKEN,
    TELEGRAM_DISPATCH_CHAT_ID: "-100",
    TELEGRAM_DISPATCH_THREAD_ID: "42",
    TELEGRAM_API_URL: api.url.origin,
  });
  const user = await service.userId();
  await service.order(user, { "idempotency-key": "a" });
  await service.order(user, { "idempotency-key": "b" });
  while (texts.length < 2) await Bun.sleep(20);
  expect(texts.map((text) => text.slice(0, 14)).toSorted()).toEqual([
    "№ 1 · Standard",
    "№ 2 · Standard",
  ]);
  expect(topics).toEqual(new Set([42]));
  await service.end();
  expect(service.printed()).toContain("Telegram answered 502");
  expect(service.printed()).not.toContain("a-secret-of-the-bot");
});

test("service that can't listen sends no notification, so restarts in a loop repeat no message", async () => {
  using folder = temporaryFolder();
  let calls = 0;
  using api = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch() {
      calls++;
      return new Response("<html>", { status: 502 });
    },
  });
  const environment = {
    DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    TELEGRAM_BOT_TOKEN: TOKEN,
    TELEGRAM_DISPATCH_CHAT_ID: "-100",
    TELEGRAM_API_URL: api.url.origin,
  };
  {
    await using service = await spawnService(environment);
    await service.order(await service.userId());
    while (calls === 0) await Bun.sleep(5);
    await service.end("SIGKILL");
  }
  calls = 0;
  // The fake API's own port is taken.
  const { status, printed } = await failToStart({ ...environment, PORT: api.url.port });
  expect([status, printed]).toEqual([1, expect.stringContaining("Can't listen on 127.0.0.1")]);
  expect(calls).toBe(0);
  await using service = await spawnService(environment);
  while (calls === 0) await Bun.sleep(5);
  expect(await service.end()).toBe(0);
});
