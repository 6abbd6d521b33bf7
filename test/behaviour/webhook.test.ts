import { Database } from "bun:sqlite";
import { describe, expect, jest, setDefaultTimeout, test } from "bun:test";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { createWebhook } from "../../src/adapters/webhook.ts";
import { createApp } from "../../src/app.ts";
import { createChangeStage } from "../../src/orders/change-stage.ts";
import { createDeliverEvent } from "../../src/orders/deliver-event.ts";
import type { WebhookEvent, WebhookSender } from "../../src/ports.ts";
import type { Store } from "../../src/store/store.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { compileStrictly, readDocument, resolve } from "../support/contract.ts";
import { freePort } from "../support/free-port.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { createServiceOn } from "../support/service.ts";
import { skip } from "../support/skip.ts";
import { openStore } from "../support/store.ts";
import { createDependencies, createWorld } from "../support/world.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SECRET = `whsec_${Buffer.from("a secret of enough bytes").toString("base64")}`;

/** Waits one turn of the event loop. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Creates a service with a webhook, and records the events it sends. */
function createServiceWithBot(store?: Store) {
  const world = createWorld();
  const given = createDependencies(world);
  const sent: WebhookEvent[] = [];
  const bot = { answer: async (_event: WebhookEvent): Promise<void> => {} };
  const webhook = {
    send(event: WebhookEvent) {
      sent.push(event);
      return bot.answer(event);
    },
  };
  const service = createServiceOn(
    { ...given, store: store ?? given.store, webhook },
    { ORDERS_PER_USER_PER_HOUR: "0" },
  );
  const changeStage = createChangeStage(service.dependencies);
  const accept = (orderId = 1) =>
    changeStage({ orderId, actor: "Aziza", seen: "new", change: { verb: "accept" } });
  /** Creates paid orders and accepts them, so that each has an event. */
  const makeEvents = async (count: number) => {
    const user = await service.userId();
    for (let orderId = 1; orderId <= count; orderId++) {
      await service.order(user, { "idempotency-key": `${orderId}` });
      await accept(orderId);
    }
    await service.app.idle();
  };
  /** Moves the clock to the next attempt of the latest event. */
  const skipToNextAttempt = async () => {
    const rows = await service.dependencies.store.run((tx) =>
      tx.select().from(tx.tables.orderEvents),
    );
    world.nowMs = Math.max(world.nowMs, ...rows.map(({ dueAt }) => dueAt ?? 0));
  };
  const worker = service.app.workers.events;
  const events = {
    ...worker,
    /** Claims due events and waits for their deliveries. */
    async runOnce() {
      const claimed = await worker.runOnce();
      await worker.idle();
      return claimed;
    },
  };
  return {
    ...service,
    world,
    sent,
    bot,
    changeStage,
    accept,
    makeEvents,
    skipToNextAttempt,
    events,
  };
}

describe("webhook delivery", () => {
  test("sends an event per transition and refund, with the order's current state", async () => {
    const { userId, order, app, sent, changeStage, accept, events } = createServiceWithBot();
    await order(await userId());
    await app.idle();
    await events.runOnce();
    expect(sent).toEqual([]);
    await accept();
    await events.runOnce();
    const cancel = { verb: "cancel", reason: "area", note: null, isMoneyOwed: true } as const;
    await changeStage({ orderId: 1, actor: "Aziza", seen: "accepted", change: cancel });
    await events.runOnce();
    const refund = { verb: "refund", reference: "r-1" } as const;
    await changeStage({ orderId: 1, actor: "Aziza", seen: "cancelled", change: refund });
    await events.runOnce();
    await events.runOnce();
    expect(sent).toMatchObject([
      { type: "order.stage_changed", data: { order_id: 1, stage: "accepted" } },
      { type: "order.stage_changed", data: { stage: "cancelled", cancel_reason: "area" } },
      { type: "order.refunded", data: { refund: "given" } },
    ]);
    expect(JSON.stringify(sent)).not.toContain("901234567");
  });

  test("sends order.settled only for an order that was in doubt", async () => {
    const { userId, order, app, world, sent, events } = createServiceWithBot();
    await order(await userId());
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId("+998901234568"));
    await order(await userId("+998901234569"));
    world.charge = async ({ orderId }) => (orderId === 2 ? "paid" : "declined");
    world.nowMs += 60_000;
    await app.workers.charge.runOnce();
    await app.idle();
    await events.runOnce();
    // Settled concurrently: on PostgreSQL either may be the first.
    const byOrder = sent.toSorted((a, b) => (Bun.inspect(a.data) < Bun.inspect(b.data) ? -1 : 1));
    expect(byOrder).toMatchObject([
      { type: "order.settled", data: { order_id: 2, status: "paid", stage: "new" } },
      { type: "order.settled", data: { order_id: 3, status: "declined", stage: null } },
    ]);
  });

  test("sends nothing for an order whose retry gets an unknown answer; it stays in doubt", async () => {
    const { userId, order, get, app, world, sent, events } = createServiceWithBot();
    world.charge = async () => "maybe" as never;
    await order(await userId());
    world.nowMs += 60_000;
    expect(await app.workers.charge.runOnce()).toBe(1);
    await app.idle();
    expect(await events.runOnce()).toBe(0);
    expect(sent).toEqual([]);
    expect((await get("/orders/1")).body["status"]).toBe("pending");
  });

  test("sends order.settled once if two retries race", async () => {
    const { userId, order, app, world, sent, dependencies, events } = createServiceWithBot();
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId());
    const answer = Promise.withResolvers<"paid">();
    world.charge = () => answer.promise;
    world.nowMs += 60_000;
    await app.workers.charge.runOnce();
    world.charge = async () => "paid";
    world.nowMs += 60_000;
    const copy = createApp(dependencies);
    expect(await copy.workers.charge.runOnce()).toBe(1);
    await copy.idle();
    answer.resolve("paid");
    await app.idle();
    await events.runOnce();
    expect(sent).toMatchObject([{ type: "order.settled", data: { order_id: 1, status: "paid" } }]);
  });

  test("sends order.settled even if its event could not be stored at first", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    const { userId, order, get, app, world, sent, events } = createServiceWithBot(store);
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId());
    world.charge = async () => "paid";
    using database = new Database(path);
    const retry = async () => {
      world.nowMs += 60_000;
      expect(await app.workers.charge.runOnce()).toBe(1);
      await app.idle();
    };
    database.run(
      "CREATE TRIGGER refuse BEFORE INSERT ON order_events BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    await retry();
    expect((await get("/orders/1")).body["status"]).toBe("pending");
    database.run("DROP TRIGGER refuse");
    await retry();
    await events.runOnce();
    expect(sent).toMatchObject([{ type: "order.settled", data: { order_id: 1, status: "paid" } }]);
    await store.close();
  });

  test("claims at most 16 events, those first that have been due for longest", async () => {
    const { userId, order, app, world, sent, accept, makeEvents, events } = createServiceWithBot();
    await makeEvents(16);
    world.nowMs += 1;
    await order(await userId(), { "idempotency-key": "17" });
    await accept(17);
    await app.idle();
    expect(await events.runOnce()).toBe(16);
    expect(await events.runOnce()).toBe(1);
    expect(sent.at(-1)).toMatchObject({ data: { order_id: 17 } });
  });

  test("keeps the lease of a newer attempt when an older one fails", async () => {
    const { app, world, sent, bot, makeEvents, dependencies } = createServiceWithBot();
    await makeEvents(1);
    const answers = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    bot.answer = () => answers[sent.length - 1]?.promise ?? Promise.resolve();
    await app.workers.events.runOnce();
    while (sent.length < 1) await turn();
    world.nowMs += 6000;
    const copy = createApp(dependencies);
    expect(await copy.workers.events.runOnce()).toBe(1);
    while (sent.length < 2) await turn();
    answers[0]?.reject(new Error("502"));
    await app.idle();
    const rows = () => dependencies.store.run((tx) => tx.select().from(tx.tables.orderEvents));
    expect(await rows()).toMatchObject([{ attempts: 2, dueAt: world.nowMs + 6000 }]);
    answers[1]?.resolve();
    await copy.idle();
    expect(await rows()).toMatchObject([{ attempts: 2, dueAt: null }]);
  });

  test("repeats an event if the response can't be recorded", async () => {
    const { world, sent, bot, makeEvents, events } = createServiceWithBot();
    await makeEvents(1);
    bot.answer = async () => {
      world.storeFault = new Error("full");
    };
    await events.runOnce();
    world.storeFault = undefined;
    bot.answer = async () => {};
    world.nowMs += 60_000;
    expect(await events.runOnce()).toBe(1);
    expect(sent).toHaveLength(2);
    expect(world.lines.join()).toContain("Could not reschedule webhook event 1");
  });

  test.each([
    ["after 5 s", () => jest.advanceTimersByTime(1)],
    ["at once when the service stops", (cutoff: AbortController) => cutoff.abort()],
  ])("is aborted %s", async (_when, end) => {
    const { makeEvents, dependencies } = createServiceWithBot();
    await makeEvents(1);
    const [event] = await dependencies.store.run((tx) => tx.select().from(tx.tables.orderEvents));
    if (event === undefined) throw new Error("no event");
    const signals: AbortSignal[] = [];
    const send: WebhookSender["send"] = (_event, { signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    };
    const cutoff = new AbortController();
    const deliver = createDeliverEvent({
      ...dependencies,
      webhook: { send },
      cutoff: cutoff.signal,
    });
    jest.useFakeTimers();
    try {
      const delivering = deliver({ ...event, attempt: 1, dueAt: 6000 }).then(() => "none", String);
      while (signals.length < 1) await turn();
      jest.advanceTimersByTime(4999);
      expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
      end(cutoff);
      expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
      expect(await delivering).toContain("no answer within 5000 ms");
    } finally {
      jest.useRealTimers();
    }
  });

  test("retries a failed event with growing pauses", async () => {
    const { userId, order, app, world, sent, bot, accept, events } = createServiceWithBot();
    await order(await userId());
    await app.idle();
    await accept();
    bot.answer = () => Promise.reject(new Error("502"));
    await events.runOnce();
    await events.runOnce();
    expect(sent).toHaveLength(1);
    world.nowMs += 1000;
    await events.runOnce();
    expect(sent).toHaveLength(2);
    world.nowMs += 15_999;
    await events.runOnce();
    expect(sent).toHaveLength(2);
    world.nowMs += 1;
    bot.answer = async () => {};
    await events.runOnce();
    world.nowMs += HOUR_MS;
    await events.runOnce();
    expect(sent.map(({ eventId }) => eventId)).toEqual([1, 1, 1]);
  });

  test("warns after an hour of failures and gives up after three days", async () => {
    const { world, sent, bot, makeEvents, skipToNextAttempt, events } = createServiceWithBot();
    await makeEvents(1);
    const { nowMs: startedAt } = world;
    bot.answer = () => Promise.reject(new Error("502"));
    await events.runOnce();
    const printed = (start: string) => world.lines.filter((line) => line.startsWith(start));
    expect(world.lines.at(-1)).toStartWith("Webhook event 1 of order 1 was not delivered");
    world.nowMs += HOUR_MS;
    await events.runOnce();
    expect(printed("Warning: Webhook event 1")).toHaveLength(1);
    while (printed("Error: Webhook event 1").length === 0) {
      await skipToNextAttempt();
      expect(await events.runOnce()).toBe(1);
    }
    expect(sent).toHaveLength(79);
    expect(world.lines.at(-1)).toContain("was given up after 79 attempts: Error: 502");
    expect((world.nowMs - startedAt) / DAY_MS).toBeCloseTo(3, 0);
    world.nowMs += DAY_MS;
    expect(await events.runOnce()).toBe(0);
  });

  test("gives up after three days, even if other events are delivered every ten minutes", async () => {
    const { world, sent, bot, makeEvents, accept, order, app, events } = createServiceWithBot();
    await makeEvents(1);
    const { nowMs: startedAt } = world;
    bot.answer = async ({ eventId }) => {
      if (eventId === 1) throw new Error("502");
    };
    const isGivenUp = () => world.lines.some((line) => line.includes("was given up after"));
    while (!isGivenUp()) {
      world.nowMs += 10 * 60_000;
      const { body } = await order(1, { "idempotency-key": String(world.nowMs) });
      await accept(Number(body["order_id"]));
      await app.idle();
      await events.runOnce();
    }
    expect(world.nowMs - startedAt).toBeGreaterThanOrEqual(3 * DAY_MS);
    expect(world.nowMs - startedAt).toBeLessThan(3 * DAY_MS + 2 * HOUR_MS);
    expect(sent.filter(({ eventId }) => eventId === 1).length).toBeGreaterThan(79);
  });

  test.each([
    ["four days behind", 4],
    ["four days ahead", -4],
  ])("does not give up an event that was written while the clock was %s", async (_how, days) => {
    const { world, sent, bot, makeEvents, skipToNextAttempt, events } = createServiceWithBot();
    await makeEvents(1);
    bot.answer = () => Promise.reject(new Error("502"));
    await events.runOnce();
    world.nowMs += days * DAY_MS;
    for (let attempt = 2; attempt <= 10; attempt++) {
      await events.runOnce();
      await skipToNextAttempt();
    }
    const warnings = world.lines.filter((line) => line.startsWith("Warning: Webhook event 1"));
    expect(warnings.length).toBeGreaterThan(0);
    bot.answer = async () => {};
    await events.runOnce();
    expect(sent).toHaveLength(11);
    expect(world.lines.filter((line) => line.includes("given up"))).toEqual([]);
  });

  test("logs the reason of each failure", async () => {
    const { world, bot, makeEvents, events } = createServiceWithBot();
    await makeEvents(1);
    bot.answer = () => Promise.reject(new Error("the bot answered 503"));
    await events.runOnce();
    world.nowMs += 1000;
    bot.answer = () => Promise.reject(Symbol("odd"));
    await events.runOnce();
    expect(world.lines.slice(-2)).toEqual([
      expect.stringContaining("the bot answered 503"),
      expect.stringContaining("Symbol(odd)"),
    ]);
  });

  test("sends all waiting events after one succeeds", async () => {
    const { userId, order, app, world, sent, bot, accept, makeEvents, skipToNextAttempt, events } =
      createServiceWithBot();
    await makeEvents(3);
    bot.answer = () => Promise.reject(new Error("502"));
    for (let attempt = 1; attempt <= 8; attempt++) {
      await events.runOnce();
      await skipToNextAttempt();
    }
    await events.runOnce();
    bot.answer = async () => {};
    sent.length = 0;
    expect(await events.runOnce()).toBe(0);
    await order(await userId("+998901234568"));
    await app.idle();
    await accept(4);
    expect(await events.runOnce()).toBe(1);
    expect(await events.runOnce()).toBe(3);
    expect(sent.map(({ eventId }) => eventId).toSorted()).toEqual([1, 2, 3, 4]);
    world.nowMs += HOUR_MS;
    expect(await events.runOnce()).toBe(0);
  });

  test("sends other events while one hangs, at most 16 at a time", async () => {
    const { dependencies, bot, makeEvents, events } = createServiceWithBot();
    await makeEvents(50);
    let running = 0;
    let maxRunning = 0;
    const gate = Promise.withResolvers<void>();
    const hang = Promise.withResolvers<void>();
    const arrived = new Set<number>();
    let isHanging = false;
    bot.answer = async ({ eventId }) => {
      running += 1;
      maxRunning = Math.max(maxRunning, running);
      isHanging ||= eventId === 1;
      await (eventId === 1 ? hang.promise : gate.promise);
      running -= 1;
      arrived.add(eventId);
    };
    const ending = new AbortController();
    // No delivery times out: the fake clock moves by less than 5 s.
    jest.useFakeTimers();
    const worker = events.run(ending.signal);
    try {
      for (let turns = 0; turns < 2000 && arrived.size < 49; turns++) {
        if (running === 16) gate.resolve();
        if (turns < 490) jest.advanceTimersByTime(10);
        await dependencies.store.ping();
      }
    } finally {
      jest.useRealTimers();
    }
    expect([isHanging, arrived.size, maxRunning]).toEqual([true, 49, 16]);
    gate.resolve();
    hang.resolve();
    ending.abort();
    await worker;
    await events.idle();
    expect(arrived.size).toBe(50);
  });

  test("repeats an event if the process ends before recording the response, even with the clock set back", async () => {
    const { userId, order, app, world, sent, bot, accept, dependencies } = createServiceWithBot();
    await order(await userId());
    await app.idle();
    await accept();
    // Never resolves, as if the process had ended.
    bot.answer = () => new Promise(() => {});
    void app.workers.events.runOnce();
    while (sent.length === 0) await turn();
    bot.answer = async () => {};
    const next = createApp(dependencies);
    await next.workers.events.runOnce();
    await next.idle();
    expect(sent).toHaveLength(1);
    world.nowMs -= 24 * HOUR_MS;
    await next.workers.events.runOnce();
    await next.idle();
    expect(sent).toHaveLength(2);
  });
});

test("webhook requests are signed according to Standard Webhooks and do not follow redirects", async () => {
  const sent: [string, RequestInit][] = [];
  const statuses = [200, 307, 500];
  const webhook = createWebhook({
    url: "https://bot.example/hook",
    secret: Buffer.from(SECRET.slice("whsec_".length), "base64"),
    async fetch(url, init) {
      sent.push([url, init]);
      return new Response("hello", { status: statuses.shift() ?? 500 });
    },
    now: Date.now,
  });
  const event = {
    eventId: 7,
    type: "order.stage_changed" as const,
    at: Date.UTC(2026, 10, 25),
    data: { order_id: 1 },
  };
  const { signal } = new AbortController();
  await webhook.send(event, { signal });
  const [url, init] = sent[0] ?? [];
  expect(url).toBe("https://bot.example/hook");
  expect(init).toMatchObject({ redirect: "manual", decompress: false });
  const headers = Object.fromEntries(new Headers(init?.headers));
  expect(headers["webhook-id"]).toBe("evt_7");
  expect(new Webhook(SECRET).verify(String(init?.body), headers)).toEqual({
    type: "order.stage_changed",
    timestamp: "2026-11-25T00:00:00.000Z",
    data: { order_id: 1, event_id: "evt_7" },
  });
  expect(() => new Webhook(SECRET).verify(`${String(init?.body)} `, headers)).toThrow();
  await expect(webhook.send(event, { signal })).rejects.toThrow("307");
  await expect(webhook.send(event, { signal })).rejects.toThrow("500");
});

test("webhook events match the OpenAPI document", async () => {
  const document = await readDocument();
  const world = createWorld();
  const sent: RequestInit[] = [];
  const webhook = createWebhook({
    url: "https://bot.example/hook",
    secret: Buffer.from(SECRET.slice("whsec_".length), "base64"),
    async fetch(_url, init) {
      sent.push(init);
      return new Response();
    },
    now: () => world.nowMs,
  });
  const service = createServiceOn({ ...createDependencies(world), webhook });
  const { app, dependencies, order, userId } = service;
  const changeStage = createChangeStage(dependencies);
  await order(await userId());
  const transitions = [
    ["new", { verb: "accept" }],
    ["accepted", { verb: "undo" }],
    ["new", { verb: "cancel", reason: "area", note: null, isMoneyOwed: true }],
    ["cancelled", { verb: "refund", reference: "r-1" }],
  ] as const;
  for (const [seen, change] of transitions) {
    expect(await changeStage({ orderId: 1, actor: "Aziza", seen, change })).toEqual({
      kind: "done",
    });
    await app.workers.events.runOnce();
    await app.idle();
  }
  world.charge = () => Promise.reject(new Error("502"));
  await order(await userId("+998901234568"));
  world.charge = async () => "paid";
  world.nowMs += 60_000;
  await app.workers.charge.runOnce();
  await app.idle();
  await app.workers.events.runOnce();
  await app.idle();

  const types = sent.map(({ body, headers }) => {
    const event = JSON.parse(String(body));
    const { post } = document.webhooks[event.type] ?? { post: undefined };
    const schema = post?.requestBody?.content["application/json"]?.schema ?? { not: {} };
    const isDescribed = compileStrictly(schema, document);
    expect([isDescribed(event), isDescribed.errors]).toEqual([true, null]);
    const given = new Headers(headers);
    const parameters = (post?.parameters ?? []).map((one) => resolve(document, one));
    const names = Array.from(given.keys()).filter((name) => name !== "content-type");
    expect(parameters.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
    for (const { name, schema } of parameters) {
      expect([name, compileStrictly(schema)(given.get(name))]).toEqual([name, true]);
    }
    expect(event.data.event_id).toBe(given.get("webhook-id"));
    return event.type;
  });
  expect(types).toEqual([
    ...["order.stage_changed", "order.stage_changed", "order.stage_changed"],
    ...["order.refunded", "order.settled"],
  ]);
  expect(new Set(types)).toEqual(new Set(Object.keys(document.webhooks)));
});

describe("webhook response", () => {
  const HEAD = "HTTP/1.1 200 OK\r\n";

  /** Sends an event to a server that answers each connection with these bytes and closes it. */
  async function sendTo(answer: string) {
    using server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket) {
          socket.write(answer);
          socket.end();
        },
      },
    });
    const webhook = createWebhook({
      url: `http://127.0.0.1:${server.port}/hook/secret-path?token=secret-token`,
      secret: Buffer.from(SECRET),
      fetch,
      now: Date.now,
    });
    const event = { eventId: 7, type: "order.refunded", at: 0, data: {} } as const;
    await webhook.send(event, { signal: new AbortController().signal });
  }

  test.each([
    ["broken gzip", `${HEAD}Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello`],
    ["broken Brotli", `${HEAD}Content-Encoding: br\r\nContent-Length: 5\r\n\r\nhello`],
    ["a body that is cut off", `${HEAD}Content-Length: 500\r\n\r\nhello`],
    ["broken chunks", `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n`],
    ["no body", "HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n"],
  ])("2xx with %s counts as delivered", async (_what, answer) => {
    await sendTo(answer);
  });

  test.each([
    ["malformed HTTP", `${HEAD}Content-Length: -5\r\n\r\nhello`],
    ["empty data", ""],
  ])("%s causes an error without the path or query of the URL", async (_what, answer) => {
    const fault = await sendTo(answer).catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(Error);
    expect(String(fault).length).toBeGreaterThan("Error: ".length);
    expect(Bun.inspect(fault)).not.toContain("secret-");
  });
});

test("the receiver in docs/webhooks.md accepts only signed events with a timestamp within 5 minutes", async () => {
  const page = readFileSync(join(import.meta.dir, "../../docs/webhooks.md"), "utf8");
  const script = /```python\n(import base64[^]*?)```/.exec(page)?.[1] ?? "";
  const python = ["/usr/bin/python3", "-u", "-c", script];
  if (Bun.spawnSync(["/usr/bin/python3", "-c", "import aiohttp"]).exitCode !== 0) {
    return skip("the receiver in docs/webhooks.md, which needs Debian's python3-aiohttp");
  }
  const port = freePort();
  const child = Bun.spawn(python, {
    env: { WEBHOOK_SECRET: SECRET, HOOK_PORT: String(port) },
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    const lines = child.stdout.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
    const url = `http://127.0.0.1:${port}/hook`;
    const send = (secret: string, now: () => number = Date.now) =>
      createWebhook({ url, secret: Buffer.from(secret, "base64"), fetch, now }).send(
        { eventId: 7, type: "order.refunded", at: 0, data: { order_id: 1 } },
        { signal: new AbortController().signal },
      );
    const own = SECRET.slice("whsec_".length);
    /** Sends a correctly signed event with this timestamp, or without one if it is empty. */
    const sendAt = async (timestamp: string) => {
      const signature = createHmac("sha256", Buffer.from(own, "base64"))
        .update(`evt_8.${timestamp}.{}`)
        .digest("base64");
      const headers = { "webhook-id": "evt_8", "webhook-signature": `v1,${signature}` };
      const given = timestamp === "" ? headers : { ...headers, "webhook-timestamp": timestamp };
      return (await fetch(url, { method: "POST", body: "{}", headers: given })).status;
    };
    // aiohttp prints this once it listens.
    let printed = "";
    while (!printed.includes("Running on")) printed += (await lines.next()).value;
    await expect(send("b3RoZXI=")).rejects.toThrow("403");
    const MINUTE_MS = 60_000;
    for (const minutes of [-60, -6, 6, 60]) {
      const now = () => Date.now() + minutes * MINUTE_MS;
      await expect(send(own, now)).rejects.toThrow("403");
    }
    const seconds = String(Math.floor(Date.now() / 1000));
    const wrong = ["", "now", "1e9", `${seconds}.5`, `-${seconds}`, "Infinity", "9".repeat(5000)];
    for (const timestamp of wrong)
      expect([timestamp, await sendAt(timestamp)]).toEqual([timestamp, 403]);
    for (const minutes of [-4, 4]) await send(own, () => Date.now() + minutes * MINUTE_MS);
    expect(await sendAt(seconds)).toBe(200);
    await send(own);
    while (!/evt_7.*\n/.test(printed)) printed += (await lines.next()).value;
    expect(printed).toContain('"type":"order.refunded"');
  } finally {
    child.kill();
    await child.exited;
  }
});

test("the service process delivers every event to a bot that fails a fifth of the calls", async () => {
  using folder = temporaryFolder();
  const received = new Map<string, string>();
  let calls = 0;
  using bot = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      if (++calls % 5 === 2) return new Response("later", { status: 503 });
      const headers = Object.fromEntries(request.headers);
      // `as`: the verified body has the form of the specification.
      const { data } = new Webhook(SECRET).verify(await request.text(), headers) as {
        data: { event_id: string; order_id: number; stage: string };
      };
      received.set(data.event_id, `${data.order_id} ${data.stage}`);
      return new Response();
    },
  });
  await using service = await spawnService({
    DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    PAYMENT_STUB_DELAY_MS: "0",
    WEBHOOK_URL: `${bot.url.href}hook`,
    WEBHOOK_SECRET: SECRET,
  });
  for (let n = 1; n <= 5; n++) {
    await service.order(await service.userId(`+99890123456${n}`));
    const accepted = await fetch(`${service.url}/board/orders/${n}/accept`, {
      method: "POST",
      body: new URLSearchParams({ seen: "new" }),
      headers: { "sec-fetch-site": "same-origin" },
      redirect: "manual",
    });
    expect(accepted.status).toBe(303);
  }
  while (received.size < 5) await Bun.sleep(20);
  expect(Array.from(received.values()).toSorted()).toEqual(
    [1, 2, 3, 4, 5].map((n) => `${n} accepted`),
  );
});
