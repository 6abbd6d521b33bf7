import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const KILLS = process.env["CRASH"] === "long" ? 60 : 6;
const ORDERS = 12;
const SECRET = `whsec_${Buffer.from("a secret of enough bytes").toString("base64")}`;

/** The stages of an order, with the step out of each. */
const STEPS = [
  ["new", "accept"],
  ["accepted", "start"],
  ["in_progress", "complete"],
] as const;

test("board › every confirmed step survives a kill, and the webhook and Telegram are notified of each", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const webhooks = new Set<string>();
  const chats = new Set<string>();
  const failed = new Set<string>();
  let isFailing = true;
  /** A fifth of the requests fail the first time, until the last start: retries would take minutes. */
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
        chats.add(name);
        return Response.json({ ok: true });
      }
      const name = request.headers.get("webhook-id") ?? "";
      if (fails(name)) return new Response("later", { status: 503 });
      webhooks.add(name);
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
  /** The confirmed steps. */
  const answered: string[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const service = await spawnService(settings);
    const user = await service.userId();
    let isKilled = false;
    const work = async (n: number) => {
      const { body } = await service.order(user, { "idempotency-key": `${kill}-${n}` });
      const id = Number(body["order_id"]);
      orders.add(id);
      for (const [seen, verb] of STEPS) {
        if (isKilled) return;
        const { status } = await fetch(`${service.url}/board/orders/${id}/${verb}`, {
          method: "POST",
          body: new URLSearchParams({ seen }),
          headers: { "sec-fetch-site": "same-origin" },
          redirect: "manual",
        });
        if (status !== 303) throw new Error(`${verb} was answered with ${status}`);
        answered.push(`${id} ${verb}`);
      }
    };
    // Kills the process at an arbitrary point of some step.
    const before = answered.length;
    const running = Promise.allSettled(Array.from({ length: ORDERS }, (_, n) => work(n)));
    let isOver = false;
    void running.then(() => (isOver = true));
    while (
      !isOver &&
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
    .query<{ id: number; step: string }, []>(
      "SELECT id, order_id || ' ' || kind AS step FROM order_events",
    )
    .all();
  const steps = events.map(({ step }) => step);
  expect(answered.filter((step) => !steps.includes(step))).toEqual([]);
  // Each step once, and each order in the stage of its last event.
  expect(new Set(steps).size).toBe(steps.length);
  expect(
    database
      .query(
        `SELECT id FROM orders WHERE stage <> coalesce(
          (SELECT to_stage FROM order_events WHERE order_id = orders.id ORDER BY id DESC LIMIT 1), 'new')`,
      )
      .all(),
  ).toEqual([]);
  console.log(`${KILLS} kills: ${orders.size} orders, ${answered.length} answered steps`);
  while (webhooks.size < events.length) await Bun.sleep(20);
  expect(webhooks).toEqual(new Set(events.map(({ id }) => `evt_${id}`)));
  const paid = database.query<{ id: number }, []>("SELECT id FROM orders WHERE status = 'paid'");
  while (paid.all().some(({ id }) => !chats.has(`№ ${id}`))) await Bun.sleep(20);
  await service.end();
});
