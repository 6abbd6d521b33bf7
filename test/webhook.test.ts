import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { createWebhook } from "../src/adapters/webhook.ts";
import { createApp } from "../src/app.ts";
import { createWorkOrder } from "../src/orders/work-order.ts";
import type { WebhookEvent } from "../src/ports.ts";
import { BUSY_MACHINE_MS } from "./support/busy-machine.ts";
import { compileStrictly, readDocument, resolve } from "./support/contract.ts";
import { freePort } from "./support/free-port.ts";
import { spawnService, temporaryFolder } from "./support/process.ts";
import { createServiceOn } from "./support/service.ts";
import { skip } from "./support/skip.ts";
import { createDependencies, createWorld } from "./support/world.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const HOUR_MS = 3_600_000;
const SECRET = `whsec_${Buffer.from("a secret of enough bytes").toString("base64")}`;

/** A service whose bot hears of what becomes of its orders, and what it has heard. */
function createHeard() {
  const world = createWorld();
  const heard: WebhookEvent[] = [];
  const bot = { answer: async () => {} };
  const webhook = {
    send(event: WebhookEvent) {
      heard.push(event);
      return bot.answer();
    },
  };
  const service = createServiceOn({ ...createDependencies(world), webhook });
  const workOrder = createWorkOrder(service.dependencies);
  const accept = () =>
    workOrder({ orderId: 1, actor: "Aziza", seen: "new", work: { verb: "accept" } });
  return { ...service, world, heard, bot, workOrder, accept, events: service.app.workers.events };
}

describe("the bot", () => {
  test("hears of each step and of the money, each with the order as it is", async () => {
    const { userId, order, app, heard, workOrder, accept, events } = createHeard();
    await order(await userId());
    await app.idle();
    await events.runOnce();
    expect(heard).toEqual([]);
    await accept();
    await events.runOnce();
    const cancel = { verb: "cancel", reason: "area", note: null, isMoneyOwed: true } as const;
    await workOrder({ orderId: 1, actor: "Aziza", seen: "accepted", work: cancel });
    await events.runOnce();
    const refund = { verb: "refund", reference: "r-1" } as const;
    await workOrder({ orderId: 1, actor: "Aziza", seen: "cancelled", work: refund });
    await events.runOnce();
    await events.runOnce();
    expect(heard).toMatchObject([
      { type: "order.stage_changed", data: { order_id: 1, stage: "accepted" } },
      { type: "order.stage_changed", data: { stage: "cancelled", cancel_reason: "area" } },
      { type: "order.refunded", data: { refund: "given" } },
    ]);
    expect(JSON.stringify(heard)).not.toContain("901234567");
  });

  test("hears what became of an order that was in doubt, and of no other", async () => {
    const { userId, order, app, world, heard, events } = createHeard();
    await order(await userId());
    world.charge = () => Promise.reject(new Error("502"));
    await order(await userId("+998901234568"));
    await order(await userId("+998901234569"));
    world.charge = async ({ orderId }) => (orderId === 2 ? "paid" : "declined");
    world.nowMs += 60_000;
    await app.workers.charge.runOnce();
    await app.idle();
    await events.runOnce();
    // Settled side by side: on PostgreSQL either may be the first.
    const byOrder = heard.toSorted((a, b) => (Bun.inspect(a.data) < Bun.inspect(b.data) ? -1 : 1));
    expect(byOrder).toMatchObject([
      { type: "order.settled", data: { order_id: 2, status: "paid", stage: "new" } },
      { type: "order.settled", data: { order_id: 3, status: "declined", stage: null } },
    ]);
  });

  test("that does not answer hears of the same event again, with growing pauses", async () => {
    const { userId, order, app, world, heard, bot, accept, events } = createHeard();
    await order(await userId());
    await app.idle();
    await accept();
    bot.answer = () => Promise.reject(new Error("502"));
    await events.runOnce();
    await events.runOnce();
    expect(heard).toHaveLength(1);
    world.nowMs += 1000;
    await events.runOnce();
    expect(heard).toHaveLength(2);
    world.nowMs += 15_999;
    await events.runOnce();
    expect(heard).toHaveLength(2);
    world.nowMs += 1;
    bot.answer = async () => {};
    await events.runOnce();
    world.nowMs += HOUR_MS;
    await events.runOnce();
    expect(heard.map(({ eventId }) => eventId)).toEqual([1, 1, 1]);
  });

  test("that is away for an hour is worth a warning, for three days is given up", async () => {
    const { userId, order, app, world, heard, bot, accept, events } = createHeard();
    await order(await userId());
    await app.idle();
    await accept();
    bot.answer = () => Promise.reject(new Error("502"));
    await events.runOnce();
    expect(world.lines.filter((line) => line.startsWith("Warning"))).toEqual([]);
    world.nowMs += HOUR_MS;
    await events.runOnce();
    expect(world.lines.filter((line) => line.startsWith("Warning: Event 1"))).toHaveLength(1);
    world.nowMs += 72 * HOUR_MS;
    await events.runOnce();
    expect(world.lines.filter((line) => line.includes("given up"))).toHaveLength(1);
    world.nowMs += 24 * HOUR_MS;
    await events.runOnce();
    expect(heard).toHaveLength(3);
  });

  test("hears again where the process ends before it has noted the answer, also with the clock set back", async () => {
    const { userId, order, app, world, heard, bot, accept, dependencies } = createHeard();
    await order(await userId());
    await app.idle();
    await accept();
    // The answer never comes: the process is gone.
    bot.answer = () => new Promise(() => {});
    void app.workers.events.runOnce();
    while (heard.length === 0) await new Promise((resolve) => setImmediate(resolve));
    bot.answer = async () => {};
    const next = createApp(dependencies);
    await next.workers.events.runOnce();
    expect(heard).toHaveLength(1);
    world.nowMs -= 24 * HOUR_MS;
    await next.workers.events.runOnce();
    expect(heard).toHaveLength(2);
  });
});

test("what is sent is signed as the Standard Webhooks specification has it, and goes nowhere else", async () => {
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
  expect(init?.redirect).toBe("manual");
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

test("every event is sent as the OpenAPI document describes it", async () => {
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
  const workOrder = createWorkOrder(dependencies);
  await order(await userId());
  const steps = [
    ["new", { verb: "accept" }],
    ["accepted", { verb: "undo" }],
    ["new", { verb: "cancel", reason: "area", note: null, isMoneyOwed: true }],
    ["cancelled", { verb: "refund", reference: "r-1" }],
  ] as const;
  for (const [seen, work] of steps) {
    expect(await workOrder({ orderId: 1, actor: "Aziza", seen, work })).toEqual({ kind: "done" });
    await app.workers.events.runOnce();
  }
  world.charge = () => Promise.reject(new Error("502"));
  await order(await userId("+998901234568"));
  world.charge = async () => "paid";
  world.nowMs += 60_000;
  await app.workers.charge.runOnce();
  await app.idle();
  await app.workers.events.runOnce();

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

test("the README's receiver takes only events that are signed by the service and less than 5 minutes off", async () => {
  const readme = readFileSync(join(import.meta.dir, "../README.md"), "utf8");
  const script = /```python\n(import base64[^]*?)```/.exec(readme)?.[1] ?? "";
  const python = ["/usr/bin/python3", "-u", "-c", script];
  if (Bun.spawnSync(["/usr/bin/python3", "-c", "import aiohttp"]).exitCode !== 0) {
    return skip("the README's receiver, without Debian's python3-aiohttp");
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
    /** Sends a correctly signed event with this timestamp, or with none. */
    const sendAt = async (timestamp: string) => {
      const signature = createHmac("sha256", Buffer.from(own, "base64"))
        .update(`evt_8.${timestamp}.{}`)
        .digest("base64");
      const headers = { "webhook-id": "evt_8", "webhook-signature": `v1,${signature}` };
      const given = timestamp === "" ? headers : { ...headers, "webhook-timestamp": timestamp };
      return (await fetch(url, { method: "POST", body: "{}", headers: given })).status;
    };
    // aiohttp says so once it listens.
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

test("each event reaches a bot that fails a fifth of its calls, from the real process", async () => {
  using folder = temporaryFolder();
  const heard = new Map<string, string>();
  let calls = 0;
  using bot = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      if (++calls % 5 === 2) return new Response("later", { status: 503 });
      const headers = Object.fromEntries(request.headers);
      // `as`: what was verified is what the specification has.
      const { data } = new Webhook(SECRET).verify(await request.text(), headers) as {
        data: { event_id: string; order_id: number; stage: string };
      };
      heard.set(data.event_id, `${data.order_id} ${data.stage}`);
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
  while (heard.size < 5) await Bun.sleep(20);
  expect(Array.from(heard.values()).toSorted()).toEqual(
    [1, 2, 3, 4, 5].map((n) => `${n} accepted`),
  );
});
