import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { createTelegramDispatcher } from "../src/adapters/telegram-dispatcher.ts";
import { createLog } from "../src/log.ts";
import { BUSY_MACHINE_MS } from "./support/busy-machine.ts";
import { spawnService, temporaryFolder } from "./support/process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const TOKEN = "12345:a-secret-of-the-bot";
const ORDER = {
  orderId: 7,
  amountTiyin: 3_000_000,
  tariffTitle: "Standard",
  paidAt: Date.UTC(2026, 10, 25, 9, 5),
};

/** A chat whose API answers as it is told, and what it was asked. */
function createChat(publicUrl: string | null = null) {
  const asked: { url: string; body: Record<string, unknown> }[] = [];
  const lines: string[] = [];
  const chat = {
    nowMs: 0,
    answer: async (): Promise<Response> => Response.json({ ok: true }),
  };
  const dispatcher = createTelegramDispatcher({
    ...{ token: TOKEN, chatId: "-100", apiUrl: "https://telegram.example", publicUrl },
    fetch(url, init) {
      asked.push({ url, body: JSON.parse(String(init.body)) });
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
  return { asked, lines, chat, notify };
}

describe("a Telegram chat", () => {
  test("hears number, tariff, amount and time of an order", async () => {
    const { asked, notify } = createChat();
    await notify();
    expect(asked).toEqual([
      {
        url: `https://telegram.example/bot${TOKEN}/sendMessage`,
        body: { chat_id: "-100", text: "№ 7 · Standard · 30\u00a0000 сум · 14:05" },
      },
    ]);
  });

  test("has a button to the board where that is on https, and none where not", async () => {
    const secure = createChat("https://orders.example.uz");
    await secure.notify();
    expect(secure.asked[0]?.body["reply_markup"]).toEqual({
      inline_keyboard: [[{ text: "№ 7", url: "https://orders.example.uz/board/orders/7" }]],
    });
    const plain = createChat("http://127.0.0.1:8000");
    await plain.notify();
    expect(plain.asked[0]?.body).not.toHaveProperty("reply_markup");
  });

  test.each([
    [15_050, "150,50"],
    [1, "0,01"],
    [Number.MAX_SAFE_INTEGER, "90\u00a0071\u00a0992\u00a0547\u00a0409,91"],
  ])("gets %d tiyin as %s sum", async (amountTiyin, sum) => {
    const { asked, notify } = createChat();
    await notify({ amountTiyin });
    expect(asked[0]?.body["text"]).toBe(`№ 7 · Standard · ${sum} сум · 14:05`);
  });

  test("gets a title that cannot reorder the amount next to it", async () => {
    const { asked, notify } = createChat();
    await notify({ tariffTitle: "\u202eStan\u2066dard\u2069" });
    await notify({ tariffTitle: "ستاندرد" });
    expect(asked.map(({ body }) => body["text"])).toEqual([
      "№ 7 · Standard · 30\u00a0000 сум · 14:05",
      "№ 7 · \u2068ستاندرد\u2069 · 30\u00a0000 сум · 14:05",
    ]);
  });

  test("gets a long title cut, and no half characters", async () => {
    const { asked, notify } = createChat();
    await notify({ tariffTitle: "🛠".repeat(200) });
    const text = String(asked[0]?.body["text"]);
    expect(text.isWellFormed()).toBe(true);
    expect(text).toContain(`· ${"🛠".repeat(100)} ·`);
  });

  test.each([
    [
      "is refused",
      async () => Response.json({ ok: false, description: "Forbidden" }, { status: 403 }),
      "403: Forbidden",
    ],
    ["meets a proxy's page", async () => new Response("<html>Bad Gateway", { status: 502 }), "502"],
    ["is answered with nonsense", async () => new Response("null"), "200"],
    ["breaks off", () => Promise.reject(new Error("socket closed")), "socket closed"],
  ])("that %s has not heard, and is tried again by the service", async (_what, answer, reason) => {
    const { chat, notify } = createChat();
    chat.answer = answer;
    await expect(notify()).rejects.toThrow(reason);
    chat.answer = async () => Response.json({ ok: true });
    await notify();
  });

  test("has no fault with the token in it", async () => {
    const { chat, notify } = createChat();
    chat.answer = () =>
      Promise.reject(new Error(`can't reach https://telegram.example/bot${TOKEN}/sendMessage`));
    const fault = await notify().catch((error: unknown) => error);
    expect(Bun.inspect(fault)).toContain("can't reach");
    expect(Bun.inspect(fault)).not.toContain("a-secret-of-the-bot");
  });

  test("that asks to wait is left alone so long, for all orders", async () => {
    const { asked, chat, notify } = createChat();
    chat.answer = async () =>
      Response.json({ ok: false, parameters: { retry_after: 30 } }, { status: 429 });
    await expect(notify()).rejects.toThrow("429");
    chat.answer = async () => Response.json({ ok: true });
    chat.nowMs = 29_999;
    await expect(notify({ orderId: 8 })).rejects.toThrow("wait");
    expect(asked).toHaveLength(1);
    chat.nowMs = 30_000;
    await notify({ orderId: 8 });
    expect(asked).toHaveLength(2);
  });

  test("that has become another is followed there, with a warning", async () => {
    const { asked, lines, chat, notify } = createChat();
    chat.answer = async () =>
      asked.length === 1
        ? Response.json({ ok: false, parameters: { migrate_to_chat_id: -200 } }, { status: 400 })
        : Response.json({ ok: true });
    await notify();
    await notify({ orderId: 8 });
    expect(asked.map(({ body }) => body["chat_id"])).toEqual(["-100", "-200", "-200"]);
    expect(
      lines.filter((line) => line.startsWith("Warning") && line.includes("-200")),
    ).toHaveLength(1);
  });

  test("gets one message at a time; one that hangs is passed over once it is given up", async () => {
    const { asked, chat, notify } = createChat();
    chat.answer = () => new Promise(() => {});
    const giveUp = new AbortController();
    void notify({}, giveUp.signal);
    const second = notify({ orderId: 8 });
    const third = new AbortController();
    third.abort();
    const late = notify({ orderId: 9 }, third.signal).catch(() => "not sent");
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toHaveLength(1);
    chat.answer = async () => Response.json({ ok: true });
    giveUp.abort();
    await second;
    expect(await late).toBe("not sent");
    expect(asked.map(({ body }) => String(body["text"]).slice(0, 3))).toEqual(["№ 7", "№ 8"]);
  });
});

test("the real process tells the chat of each paid order, also after a 502, and prints no token", async () => {
  using folder = temporaryFolder();
  const texts: string[] = [];
  let calls = 0;
  using api = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      if (++calls === 1) return new Response("<html>", { status: 502 });
      // `as`: the Bot API takes such a body.
      texts.push(((await request.json()) as { text: string }).text);
      return Response.json({ ok: true });
    },
  });
  await using service = await spawnService({
    DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    PAYMENT_STUB_DELAY_MS: "0",
    TELEGRAM_BOT_TOKEN: TOKEN,
    TELEGRAM_DISPATCH_CHAT_ID: "-100",
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
  await service.end();
  expect(service.printed()).toContain("Telegram has answered 502");
  expect(service.printed()).not.toContain("a-secret-of-the-bot");
});
