import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const KILLS = process.env["CRASH"] === "long" ? 60 : 6;
const ORDERS = 12;
const SECRET = `whsec_${Buffer.from("a secret of enough bytes").toString("base64")}`;

/** An order's stages with the action that leads to the next one. */
const TRANSITIONS = [
  ["new", "accept"],
  ["accepted", "start"],
  ["in_progress", "complete"],
] as const;

test("kill -9 loses no answered transition or event, and the webhook and Telegram chat are notified of all", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const webhookIds = new Set<string>();
  const chatOrders = new Set<string>();
  const failed = new Set<string>();
  let isFailing = true;
  /** A fifth of the deliveries fail the first time. Not after the last start: retries take minutes. */
  const fails = (name: string) =>
    isFailing && Number(name.replace(/\D/g, "")) % 5 === 2 && !failed.has(name) && failed.add(name);
  using outside = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      if (new URL(request.url).pathname !== "/hook") {
        // `as`: sent by our own adapter.
        const { text } = (await request.json()) as { text: string };
        const [name = ""] = text.split(" · ");
        if (fails(name)) return new Response("<html>", { status: 502 });
        chatOrders.add(name);
        return Response.json({ ok: true });
      }
      const name = request.headers.get("webhook-id") ?? "";
      if (fails(name)) return new Response("later", { status: 503 });
      webhookIds.add(name);
      return new Response();
    },
  });
  const settings = {
    DATABASE_URL: `file:${path}`,
    PAYMENT_STUB_DELAY_MS: "0",
    ORDERS_PER_USER_PER_HOUR: "0",
    LOG_LEVEL: "error",
    WEBHOOK_URL: `${outside.url.href}hook`,
    WEBHOOK_SECRET: SECRET,
    TELEGRAM_BOT_TOKEN: "12345:a-secret-of-the-bot",
    TELEGRAM_DISPATCH_CHAT_ID: "-100",
    TELEGRAM_API_URL: outside.url.origin,
  };

  const orders = new Set<number>();
  /** The transitions that were answered. */
  const answered: string[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const service = await spawnService(settings);
    const user = await service.userId();
    let isKilled = false;
    const work = async (n: number) => {
      const { body } = await service.order(user, { "idempotency-key": `${kill}-${n}` });
      const id = Number(body["order_id"]);
      orders.add(id);
      for (const [seen, action] of TRANSITIONS) {
        if (isKilled) return;
        const { status } = await fetch(`${service.url}/board/orders/${id}/${action}`, {
          method: "POST",
          body: new URLSearchParams({ seen }),
          headers: { "sec-fetch-site": "same-origin" },
          redirect: "manual",
        });
        if (status !== 303) throw new Error(`${action} was answered with ${status}`);
        answered.push(`${id} ${action}`);
      }
    };
    // Kills at a random place within some transition.
    const before = answered.length;
    const running = Promise.allSettled(Array.from({ length: ORDERS }, (_, n) => work(n)));
    let isFinished = false;
    void running.then(() => (isFinished = true));
    while (
      !isFinished &&
      answered.length < before + 5 * (kill + 1) &&
      answered.length < before + 2 * ORDERS
    ) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    isKilled = true;
    await service.end("SIGKILL");
    await running;
  }

  isFailing = false;
  await using service = await spawnService(settings);
  using database = new Database(path, { readonly: true });
  const events = database
    .query<{ id: number; transition: string }, []>(
      "SELECT id, order_id || ' ' || kind AS transition FROM order_events",
    )
    .all();
  const recorded = events.map(({ transition }) => transition);
  expect(answered.filter((transition) => !recorded.includes(transition))).toEqual([]);
  // Each transition happened once, and each order is in the stage of its last event.
  expect(new Set(recorded).size).toBe(recorded.length);
  expect(
    database
      .query(
        `SELECT id FROM orders WHERE stage <> coalesce(
          (SELECT to_stage FROM order_events WHERE order_id = orders.id ORDER BY id DESC LIMIT 1), 'new')`,
      )
      .all(),
  ).toEqual([]);
  console.log(`${KILLS} kills: ${orders.size} orders, ${answered.length} answered transitions`);
  while (webhookIds.size < events.length) await Bun.sleep(20);
  expect(webhookIds).toEqual(new Set(events.map(({ id }) => `evt_${id}`)));
  const paid = database.query<{ id: number }, []>("SELECT id FROM orders WHERE status = 'paid'");
  while (paid.all().some(({ id }) => !chatOrders.has(`№ ${id}`))) await Bun.sleep(20);
  await service.end();
});
