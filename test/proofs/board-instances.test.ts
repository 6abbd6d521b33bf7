import { expect, setDefaultTimeout, test } from "bun:test";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { API_KEY, DISPATCHERS, KEYS } from "../support/dispatchers.ts";
import { createDatabase, execute, startPostgres } from "../support/postgres.ts";
import { spawnService } from "../support/process.ts";
import { skip } from "../support/skip.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const ORDERS = 40;

test("two instances: one of two simultaneous accepts wins; sessions and live updates work across both", async () => {
  await using server = await startPostgres();
  if (server === undefined) return skip("PostgreSQL, which is not installed (Debian's postgresql)");
  const url = await createDatabase(server.urlOf("postgres"));
  const settings = {
    DATABASE_URL: url,
    PAYMENT_STUB_DELAY_MS: "0",
    ORDERS_PER_USER_PER_HOUR: "0",
    LOG_LEVEL: "error",
    API_KEY,
    DISPATCHERS,
  };
  await using one = await spawnService(settings);
  await using other = await spawnService(settings);

  const submit = (origin: string, path: string, form: Record<string, string>, cookie = "") =>
    fetch(`${origin}/board/${path}`, {
      method: "POST",
      body: new URLSearchParams(form),
      headers: { cookie, "sec-fetch-site": "same-origin" },
      redirect: "manual",
    });
  /** Signs in at one instance; the cookie works on both. */
  async function signIn(key: string): Promise<string> {
    const { headers } = await submit(one.url, "sign-in", { key });
    return headers.get("set-cookie")?.split(";")[0] ?? "";
  }
  const [aziza, bekzod] = [await signIn(KEYS.Aziza), await signIn(KEYS.Bekzod)];

  // A board open on the other instance.
  const closing = new AbortController();
  const stream = await fetch(`${other.url}/board/changes`, {
    headers: { cookie: bekzod },
    signal: closing.signal,
  });
  const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
  let streamed = "";
  while (!streamed.includes("retry")) streamed += (await reader?.read())?.value ?? "";

  const headers = { "x-api-key": API_KEY };
  const { body: user } = await one.post("/register", { phone_number: "901234567" }, headers);
  for (let n = 0; n < ORDERS; n++) {
    const order = { user_id: user["user_id"], tariff_code: "standard_300" };
    const key = { ...headers, "idempotency-key": `order-${n}` };
    const { body } = await one.post("/create_order", order, key);
    const both = await Promise.all([
      submit(one.url, `orders/${body["order_id"]}/accept`, { seen: "new" }, aziza),
      submit(other.url, `orders/${body["order_id"]}/accept`, { seen: "new" }, bekzod),
    ]);
    expect(both.map(({ status }) => status).toSorted()).toEqual([303, 409]);
  }
  const events = await execute(url, "SELECT order_id, count(*) FROM order_events GROUP BY 1");
  expect(events).toHaveLength(ORDERS);
  while (!streamed.includes("event: change")) streamed += (await reader?.read())?.value ?? "";
  closing.abort();
});
