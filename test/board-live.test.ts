import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { launchBrowser } from "./support/browser.ts";
import { BUSY_MACHINE_MS } from "./support/busy-machine.ts";
import { startHttpProxy } from "./support/http-proxy.ts";
import { spawnService, temporaryFolder } from "./support/process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const API_KEY = "a-client-s-key-of-it";
const KEYS = { Aziza: "aziza-s-key-for-this", Bekzod: "bekzod-s-key-for-thi" };
const BOARD = "/board";
const STREAM = "GET /board/changes";

type Name = keyof typeof KEYS;

const folder = temporaryFolder();
const browser = await launchBrowser("the board's live updates", [
  "--host-resolver-rules=MAP board.test 127.0.0.1",
]);
const service = await spawnService({
  DATABASE_URL: `file:${join(folder.path, "x.db")}`,
  ALLOWED_HOSTS: "127.0.0.1,board.test",
  ORDERS_PER_USER_PER_HOUR: "0",
  LOG_LEVEL: "warn",
  API_KEY,
  DISPATCHERS: `Aziza:${KEYS.Aziza},Bekzod:${KEYS.Bekzod}`,
});

afterAll(async () => {
  await browser?.close();
  await service[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

let phones = 901_000_000;

/** Places a paid order of a new customer. */
async function order(): Promise<number> {
  const headers = { "x-api-key": API_KEY };
  const user = await service.post("/register", { phone_number: String(phones++) }, headers);
  const wanted = { user_id: user.body["user_id"], tariff_code: "standard_300" };
  const { body } = await service.post("/create_order", wanted, headers);
  return Number(body["order_id"]);
}

async function stageOf(id: number): Promise<unknown> {
  const { body } = await service.request(`/orders/${id}`, { headers: { "x-api-key": API_KEY } });
  return body["stage"];
}

/** Polls until the condition holds; the test's timeout is the limit. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await Bun.sleep(20);
}

/** A browser profile, and a proxy before the service under this name. */
async function openProfile(hostname: "127.0.0.1" | "board.test" = "127.0.0.1") {
  if (browser === undefined) throw new Error("there is no browser");
  const proxy = startHttpProxy(service.url);
  const origin = `http://${hostname}:${proxy.port}`;
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 } });
  const errors: string[] = [];
  context.on("weberror", (error) => errors.push(error.error().message));
  return {
    ...{ proxy, origin, context, errors },
    open: (path = BOARD) => openTab(context, origin + path),
    signIn: (name: Name) => signIn(context, origin, name),
    async [Symbol.asyncDispose]() {
      await context.close();
      proxy[Symbol.dispose]();
    },
  };
}

async function openTab(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

async function signIn(context: BrowserContext, origin: string, name: Name): Promise<void> {
  const answer = await fetch(`${service.url}/board/sign-in`, {
    method: "POST",
    body: new URLSearchParams({ key: KEYS[name] }),
    headers: { "sec-fetch-site": "same-origin" },
    redirect: "manual",
  });
  const [cookie = "", value = ""] = answer.headers.get("set-cookie")?.split(/[=;]/) ?? [];
  await context.addCookies([{ name: cookie, value, url: origin }]);
}

const reaches = (page: Page, state: string) => page.locator(`#status.${state}`).waitFor();
const shows = (page: Page, id: number) => page.locator(`#order-${id}`).waitFor();

describe.skipIf(browser === undefined).each(["127.0.0.1", "board.test"] as const)(
  "tabs of one browser on http://%s",
  (hostname) => {
    test("share one stream, which another tab takes over", async () => {
      await using profile = await openProfile(hostname);
      const { proxy, open, context, errors } = profile;
      await profile.signIn("Aziza");
      const tabs: Page[] = [];
      for (let n = 0; n < 8; n++) tabs.push(await open());
      const all = (wait: (page: Page) => Promise<void>) => Promise.all(tabs.map(wait));
      await all((page) => reaches(page, "connected"));
      await until(() => proxy.streams() === 1);
      console.log(
        proxy.seen.filter((one) => one === STREAM).length,
        await tabs[0]!.evaluate(() => [document.hidden, isSecureContext, "locks" in navigator]),
      );
      const first = await order();
      await all((page) => shows(page, first));
      console.log(proxy.seen.filter((one) => one === STREAM).length, errors);
    });
  },
);
