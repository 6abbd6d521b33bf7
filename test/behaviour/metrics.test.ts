import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { createRequestDurations } from "../../src/metrics.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { createService } from "../support/service.ts";
import { skip } from "../support/skip.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const DEPLOY = join(import.meta.dir, "../../deploy");
const MINUTE_MS = 60_000;

/** Parses Prometheus text. Returns values by name and labels, without the prefix `nmservis_`. */
function samplesOf(text: unknown): ReadonlyMap<string, number> {
  const lines = String(text)
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line): [string, number] => {
      const at = line.lastIndexOf(" ");
      return [line.slice("nmservis_".length, at), Number(line.slice(at + 1))];
    }),
  );
}

async function scrape({ get }: Pick<ReturnType<typeof createService>, "get">) {
  const { status, body } = await get("/metrics");
  expect(status).toBe(200);
  return samplesOf(body["text"]);
}

test("metrics count every request and every order by outcome", async () => {
  const service = createService({ ORDERS_PER_USER_PER_HOUR: "0" });
  const { userId, order, post, get, world } = service;
  const user = await userId();
  for (let n = 0; n < 3; n++) await order(user, { "idempotency-key": `paid-${n}` });
  await order(user, { "idempotency-key": "paid-0" });
  world.charge = async () => "declined";
  for (const key of ["a", "b"]) await order(user, { "idempotency-key": key });
  world.charge = () => Promise.reject(new Error("502"));
  await order(user, { "idempotency-key": "in-doubt" });
  await post("/create_order", "{");
  await get("/orders/1");
  await get("/orders/2");
  await service.app.idle();
  world.nowMs += MINUTE_MS;
  const samples = await scrape(service);
  const requests = (labels: string) =>
    samples.get(`http_request_duration_seconds_count{${labels}}`);
  expect(samples.get('orders_total{outcome="paid"}')).toBe(3);
  expect(samples.get('orders_total{outcome="declined"}')).toBe(2);
  expect(samples.get("payments_in_doubt")).toBe(1);
  expect(requests('method="POST",route="/create_order",status="200"')).toBe(4);
  expect(requests('method="POST",route="/create_order",status="402"')).toBe(2);
  expect(requests('method="POST",route="/create_order",status="202"')).toBe(1);
  expect(requests('method="POST",route="/create_order",status="400"')).toBe(1);
  expect(requests('method="GET",route="/orders/:order_id",status="200"')).toBe(2);
});

test("metrics count an order once if two attempts settle it at the same time", async () => {
  const service = createService();
  const { userId, order, world, app } = service;
  const user = await userId();
  const answer = Promise.withResolvers<"paid">();
  world.charge = () => answer.promise;
  const first = order(user);
  while (world.charges.length < 1) await Bun.sleep(0);
  // The lease of the first attempt expires.
  world.nowMs += MINUTE_MS;
  expect(await app.workers.charge.runOnce()).toBe(1);
  while (world.charges.length < 2) await Bun.sleep(0);
  answer.resolve("paid");
  expect((await first).status).toBe(200);
  await app.idle();
  expect((await scrape(service)).get('orders_total{outcome="paid"}')).toBe(1);
});

test("request duration buckets are cumulative and include their upper bound", () => {
  const durations = createRequestDurations();
  for (const seconds of [0.001, 0.0011, 3, 20]) durations.observe("GET", "/", 200, seconds);
  const samples = samplesOf(durations.render());
  const labels = 'method="GET",route="/",status="200"';
  const bucket = (le: string) =>
    samples.get(`http_request_duration_seconds_bucket{le="${le}",${labels}}`);
  expect(["0.001", "0.0025", "2.5", "5", "10", "+Inf"].map(bucket)).toEqual([1, 2, 2, 3, 3, 4]);
  expect(samples.get(`http_request_duration_seconds_count{${labels}}`)).toBe(4);
  expect(samples.get(`http_request_duration_seconds_sum{${labels}}`)).toBeCloseTo(23.0021, 9);
});

test("metrics count an order only once if a retry settles it", async () => {
  const service = createService();
  const { userId, order, world, app } = service;
  world.charge = () => Promise.reject(new Error("502"));
  await order(await userId());
  world.charge = async () => "paid";
  world.nowMs += MINUTE_MS;
  await app.workers.charge.runOnce();
  await app.idle();
  const samples = await scrape(service);
  expect(samples.get('orders_total{outcome="paid"}')).toBe(1);
  expect(samples.get("payments_in_doubt")).toBe(0);
});

test("payments_in_doubt excludes an order that is still being paid", async () => {
  const service = createService();
  const { userId, order, world } = service;
  const answer = Promise.withResolvers<"paid">();
  world.charge = () => answer.promise;
  const answered = order(await userId());
  while (world.charges.length === 0) await new Promise((resolve) => setImmediate(resolve));
  expect((await scrape(service)).get("payments_in_doubt")).toBe(0);
  answer.resolve("paid");
  await answered;
});

test("age metrics measure the oldest order in doubt and the oldest unnotified order", async () => {
  const service = createService();
  const { userId, order, world, app } = service;
  const user = await userId();
  world.notify = () => Promise.reject(new Error("offline"));
  await order(user);
  await app.idle();
  world.nowMs += 5 * MINUTE_MS;
  world.charge = () => Promise.reject(new Error("502"));
  await order(user);
  world.nowMs += MINUTE_MS;
  await order(await userId("+998901234568"));
  world.nowMs += MINUTE_MS;
  const samples = await scrape(service);
  const { body } = await service.get("/metrics");
  expect(body["text"]).toContain(
    "# HELP nmservis_unnotified_orders Paid orders the dispatcher has not been notified of.",
  );
  expect(samples.get("payments_in_doubt")).toBe(2);
  expect(samples.get("oldest_order_in_doubt_seconds")).toBe(120);
  expect(samples.get("unnotified_orders")).toBe(1);
  expect(samples.get("oldest_unnotified_order_seconds")).toBe(7 * 60);
});

test("metrics set database_writable to 0 and omit unknown values if the database fails", async () => {
  const service = createService();
  service.world.storeFault = new Error("disk full");
  const samples = await scrape(service);
  expect(samples.get("database_writable")).toBe(0);
  expect(samples.has("payments_in_doubt")).toBe(false);
  expect(samples.has("last_backup_timestamp_seconds")).toBe(false);
  service.world.storeFault = undefined;
  service.world.nowMs += MINUTE_MS;
  const later = await scrape(service);
  expect(later.get("database_writable")).toBe(1);
  expect(later.get("payments_in_doubt")).toBe(0);
});

test("request data cannot create new time series", async () => {
  const service = createService();
  for (let n = 0; n < 20; n++) {
    await service.request(`/secret/${n}`);
    service.dependencies.metrics.endRequest(0, `BREW${n}`, "/tariffs", 405);
  }
  const samples = await scrape(service);
  const counts = Array.from(samples).filter(([name]) =>
    name.startsWith("http_request_duration_seconds_count"),
  );
  expect(counts).toEqual([
    ['http_request_duration_seconds_count{method="GET",route="none",status="404"}', 20],
    ['http_request_duration_seconds_count{method="other",route="/tariffs",status="405"}', 20],
  ]);
});

test("/metrics accepts only the owner's key, in either header", async () => {
  const service = createService({ API_KEY: "a-client", ADMIN_API_KEY: "the-owner" });
  const statusWith = async (headers: Record<string, string>) =>
    (await service.request("/metrics", { headers })).status;
  expect(await statusWith({})).toBe(401);
  expect(await statusWith({ authorization: "Basic dGhlLW93bmVy" })).toBe(401);
  expect(await statusWith({ authorization: "Bearer a-client" })).toBe(403);
  expect(await statusWith({ authorization: "Bearer wrong" })).toBe(403);
  expect(await statusWith({ "x-api-key": "a-client" })).toBe(403);
  expect(await statusWith({ authorization: "Bearer the-owner" })).toBe(200);
  expect(await statusWith({ "x-api-key": "the-owner" })).toBe(200);
});

test("/metrics passes promtool and includes file sizes", async () => {
  using folder = temporaryFolder();
  await using service = await spawnService({
    DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    PAYMENT_STUB_DELAY_MS: "0",
    BACKUP_DIR: join(folder.path, "backups"),
  });
  await service.order(await service.userId());
  const { body } = await service.get("/metrics");
  const samples = samplesOf(body["text"]);
  expect(samples.get("database_bytes")).toBeGreaterThanOrEqual(4096);
  expect(samples.get("wal_bytes")).toBeGreaterThan(0);
  expect(samples.get("commit_duration_seconds_count")).toBeGreaterThanOrEqual(3);
  // At least one write each for the user, the order and the payment.
  expect(samples.get("commit_batch_size_sum")).toBeGreaterThanOrEqual(3);
  expect(samples.get("process_resident_memory_bytes")).toBeGreaterThan(1e7);
  expect(samples.has("last_backup_timestamp_seconds")).toBe(true);
  if (Bun.which("promtool") === null)
    return skip("promtool check metrics, which needs Debian's prometheus");
  const check = Bun.spawnSync(["promtool", "check", "metrics"], {
    stdin: Buffer.from(String(body["text"])),
  });
  expect([check.stdout.toString(), check.stderr.toString(), check.exitCode]).toEqual(["", "", 0]);
});

test("each of the four alerts fires when it should, and not earlier", () => {
  if (Bun.which("promtool") === null)
    return skip("the tests of the alerts, which need Debian's prometheus");
  for (const args of [
    ["check", "rules", "alerts.yml"],
    ["test", "rules", "alerts.test.yml"],
  ]) {
    const run = Bun.spawnSync(["promtool", ...args], { cwd: DEPLOY });
    expect([run.stderr.toString(), run.exitCode]).toEqual(["", 0]);
  }
});
