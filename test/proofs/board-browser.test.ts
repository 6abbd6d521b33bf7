import { Database } from "bun:sqlite";
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import axe from "axe-core";
import type { BrowserContext, Page } from "playwright-core";
import { createSignInLink } from "../../src/board/sign-in.ts";
import { closeBrowser, openBrowser } from "../support/browser.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { API_KEY, DISPATCHERS, KEYS } from "../support/dispatchers.ts";
import { freePort } from "../support/free-port.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);
afterAll(closeBrowser);

const AZIZA = { name: "Aziza", key: KEYS.Aziza };

/** Submits a form without scripts, and waits for the next page. */
async function submit(page: Page, action: () => Promise<void>) {
  const loaded = page.waitForEvent("load");
  await action();
  await loaded;
}

/** Starts a service with two dispatchers, and opens browsers. */
async function openBoard(folder: string) {
  const browser = await openBrowser("the board");
  if (browser === undefined) return undefined;
  const settings = {
    DATABASE_URL: `file:${join(folder, "x.db")}`,
    // Unchanged by a restart.
    PORT: String(freePort()),
    PAYMENT_STUB_DELAY_MS: "0",
    // A shutdown that waited for a stream would time out.
    PAYMENT_TIMEOUT_MS: "120000",
    ORDERS_PER_USER_PER_HOUR: "0",
    LOG_LEVEL: "warn",
    API_KEY,
    DISPATCHERS,
  };
  let service = await spawnService(settings);
  const { url } = service;
  const headers = { "x-api-key": API_KEY };
  /** Requests to other hosts, violations of the policy, and exceptions. */
  const violations: string[] = [];
  const contexts: BrowserContext[] = [];

  async function signIn(name: keyof typeof KEYS, options: object = {}): Promise<Page> {
    const context = await browser?.newContext({
      viewport: { width: 1360, height: 900 },
      locale: "ru",
      ...options,
    });
    if (context === undefined) throw new Error("there is no browser");
    contexts.push(context);
    const page = await context.newPage();
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== url) violations.push(request.url());
    });
    page.on("console", (message) => {
      if (/Content Security Policy|Uncaught/.test(message.text())) violations.push(message.text());
    });
    page.on("pageerror", (error) => violations.push(error.message));
    await page.goto(`${url}/board`);
    await page.fill("input[name=key]", KEYS[name]);
    await page.click("button.primary");
    await page.waitForURL(`${url}/board`);
    return page;
  }

  return {
    url,
    violations,
    signIn,
    async order(phone: string, more: object = {}) {
      const user = await service.post("/register", { phone_number: phone }, headers);
      const order = { user_id: user.body["user_id"], tariff_code: "standard_300", ...more };
      const { body } = await service.post("/create_order", order, {
        ...headers,
        "idempotency-key": crypto.randomUUID(),
      });
      return Number(body["order_id"]);
    },
    stageOf: async (id: number) =>
      (await service.request(`/orders/${id}`, { headers })).body["stage"],
    end: () => service.end(),
    async startAgain() {
      service = await spawnService(settings);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(contexts.map((context) => context.close()));
      await service[Symbol.asyncDispose]();
    },
  };
}

test("board › shows new orders live, takes every step, and reports a conflict", async () => {
  using folder = temporaryFolder();
  await using board = await openBoard(folder.path);
  if (board === undefined) return;
  const { signIn, order, stageOf, violations } = board;
  const page = await signIn("Aziza");
  await page.locator("#status.connected").waitFor();

  const id = await order("901234567", { address: "<img src=x onerror=alert(1)>" });
  const card = page.locator(`#order-${id}`);
  await card.waitFor();
  expect(await page.title()).toStartWith("(1) ");
  expect(await card.locator(".address").innerText()).toBe("<img src=x onerror=alert(1)>");

  await card.getByRole("button", { name: "Принять" }).click();
  await page.locator(`.column.accepted #order-${id}`).waitFor();
  expect(await stageOf(id)).toBe("accepted");
  await page.locator(".notice").getByRole("button", { name: "Отменить последний шаг" }).click();
  await page.locator(`.column.new #order-${id}`).waitFor();
  expect(await stageOf(id)).toBe("new");

  // By keyboard.
  await page.keyboard.press("KeyJ");
  await page.keyboard.press("KeyA");
  await page.locator(`.column.accepted #order-${id}`).waitFor();
  await card.getByRole("button", { name: "Мастер выехал" }).click();
  await card.getByRole("button", { name: "Завершить" }).click();
  await card.waitFor({ state: "detached" });
  expect(await stageOf(id)).toBe("completed");

  // An open form keeps its input while another dispatcher works on the order.
  const second = await order("901234568");
  const other = await signIn("Bekzod");
  const theirs = page.locator(`#order-${second}`);
  await theirs.waitFor();
  await theirs.locator(".cancel summary").click();
  await theirs.locator("input[name=note]").fill("too far away");
  // Without focus, too.
  await theirs.locator("input[name=note]").blur();
  await other.locator(`#order-${second}`).getByRole("button", { name: "Принять" }).click();
  await other.locator(`.column.accepted #order-${second}`).waitFor();
  const third = await order("901234569");
  await other.locator(`#order-${third}`).waitFor();
  expect(await theirs.locator("input[name=note]").inputValue()).toBe("too far away");
  await theirs.getByLabel("Дубликат").check();
  await theirs.getByRole("button", { name: "Отменить заказ" }).click();
  expect(await page.locator(".message[role=alert]").innerText()).toContain("Bekzod");
  expect(await stageOf(second)).toBe("accepted");

  await page.goto(`${board.url}/board/orders/${third}`);
  await page.locator(".cancel summary").click();
  await page.getByLabel("Вне зоны обслуживания").check();
  await page.locator("input[name=note]").fill("over the river");
  await page.locator("button.danger").click();
  await page.locator(".badge.cancelled").waitFor();
  expect(await page.locator(".history").innerText()).toContain("over the river");
  expect(await stageOf(third)).toBe("cancelled");
  expect(violations).toEqual([]);
});

/** Half the width in CSS pixels is a zoom of 200 %. */
test.each([
  ["light", "desktop", 1360, 900],
  ["dark", "desktop", 1360, 900],
  ["light", "phone", 390, 844],
  ["dark", "phone", 390, 844],
  ["light", "desktop at 200 %", 680, 450],
  ["dark", "desktop at 200 %", 680, 450],
  ["light", "phone at 200 %", 195, 422],
  ["dark", "phone at 200 %", 195, 422],
] as const)(
  "board › axe finds nothing serious on any page, %s, %s, and nothing is cut off",
  async (colorScheme, device, width, height) => {
    const isZoomed = device.endsWith("%");
    using folder = temporaryFolder();
    await using board = await openBoard(folder.path);
    if (board === undefined) return;
    for (const phone of ["901234567", "901234568", "901234569"]) {
      await board.order(phone, { address: "Nukus 3", comment: "ring twice" });
    }
    const page = await board.signIn("Aziza", { colorScheme, viewport: { width, height } });
    const found: string[] = [];
    async function inspect(name: string) {
      // Evaluated directly: the page's policy forbids foreign scripts.
      await page.evaluate(axe.source);
      // Also with text twice as large, as set in the browser instead of the zoom.
      for (const fontSize of isZoomed ? [""] : ["", "200%"]) {
        await page.evaluate(`document.documentElement.style.fontSize = "${fontSize}"`);
        const findings = await page.evaluate(async () => {
          // `as`: set by the script above.
          const { violations } = await (globalThis as unknown as { axe: typeof axe }).axe.run();
          return violations
            .filter(({ impact }) => impact === "serious" || impact === "critical")
            .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
        });
        const excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
        if (excess !== 0) findings.push(`${excess} px wider than the screen`);
        found.push(...findings.map((finding) => `${name} ${fontSize}: ${finding}`));
      }
      await page.evaluate(`document.documentElement.style.fontSize = ""`);
    }
    await page.locator("#order-1").getByRole("button", { name: "Принять" }).click();
    await page.locator(".notice").waitFor();
    await inspect("board with notice");
    await page.locator(".notice .dismiss").click();
    await page.locator("#order-2 .cancel summary").click();
    await inspect("cancel sheet");
    for (const path of [
      "/board/orders/1",
      "/board/days",
      "/board/search?q=zz",
      "/board/search?q=4567",
      "/board/orders/99",
    ]) {
      await page.goto(board.url + path);
      await inspect(path);
    }
    await page.goto(`${board.url}/board/orders/2`);
    await page.locator(".cancel summary").click();
    await page.getByLabel("Дубликат").check();
    await page.locator("button.danger").click();
    await page.locator(".refund").waitFor();
    await inspect("refund");
    await page.locator(".menu summary").click();
    await inspect("menu");
    await page.getByRole("button", { name: "Выйти" }).click();
    await page.locator("input[name=key]").waitFor();
    await inspect("sign-in");
    await page.goto(board.url + (await createSignInLink(AZIZA, Date.now())));
    await inspect("sign-in link");
    expect(found).toEqual([]);
  },
);

test("board › shows that the service is down, and is current again after a restart", async () => {
  using folder = temporaryFolder();
  await using board = await openBoard(folder.path);
  if (board === undefined) return;
  const page = await board.signIn("Aziza");
  await page.locator("#status.connected").waitFor();
  // The open stream does not delay the shutdown.
  await board.end();
  await page.locator("#status.offline").waitFor();
  await board.startAgain();
  const id = await board.order("901234567");
  await page.locator(`#order-${id}`).waitFor();
  await page.locator("#status.connected").waitFor();
});

test("board over plain HTTP › old texts neither reverse nor cover their neighbours", async () => {
  using folder = temporaryFolder();
  const browser = await openBrowser("the board on a name");
  if (browser === undefined) return;
  const path = join(folder.path, "x.db");
  await using service = await spawnService({
    ...{ DATABASE_URL: `file:${path}`, API_KEY, LOG_LEVEL: "warn" },
    DISPATCHERS: `Aziza:${KEYS.Aziza}`,
    ALLOWED_HOSTS: "board.test,127.0.0.1",
  });
  const headers = { "x-api-key": API_KEY };
  const register = (name: string) =>
    service.post("/register", { phone_number: "901234567", full_name: name }, headers);
  const user = await register("Nigora");
  const order = { user_id: user.body["user_id"], tariff_code: "standard_300", address: "Nukus 3" };
  await service.post("/create_order", order, headers);

  const url = `http://board.test:${new URL(service.url).port}`;
  await using context = await browser.newContext({ locale: "ru" });
  const page = await context.newPage();
  await page.goto(`${url}/board`);
  await page.fill("input[name=key]", KEYS.Aziza);
  await page.click("button.primary");
  await page.waitForURL(`${url}/board`);
  await page.getByRole("button", { name: "Принять" }).click();
  await page.locator(".column.accepted .card").waitFor();

  /** Returns the pixels of the address and the position of each digit of the phone number. */
  async function look() {
    await page.goto(`${url}/board`);
    const address = await page.locator(".address").screenshot();
    const digits = await page.locator(".phone").evaluate((link) => {
      const range = link.ownerDocument.createRange();
      const text = link.firstChild;
      return Array.from(link.textContent ?? "", (_character, at) => {
        if (text !== null) range.setStart(text, at);
        if (text !== null) range.setEnd(text, at + 1);
        return range.getBoundingClientRect().left - link.getBoundingClientRect().left;
      });
    });
    return { address: address.toString("base64"), digits };
  }
  const before = await look();
  expect(before.digits).toEqual(before.digits.toSorted((a, b) => a - b));
  using database = new Database(path);
  for (const name of [
    `N${"\u0301".repeat(200)}igora`,
    "Nigora \u202e",
    "\u2067Nigora\u2069\u202e",
  ]) {
    database.run("UPDATE users SET full_name = ?", [name]);
    expect(await look()).toEqual(before);
  }
});

test("board › works without scripts, on a phone, in dark mode, in Uzbek", async () => {
  using folder = temporaryFolder();
  await using board = await openBoard(folder.path);
  if (board === undefined) return;
  const id = await board.order("901234567");
  const page = await board.signIn("Bekzod", {
    viewport: { width: 390, height: 844 },
    colorScheme: "dark",
    javaScriptEnabled: false,
    hasTouch: true,
  });
  await page.locator(".menu summary").tap();
  await page.getByRole("link", { name: "UZ" }).tap();
  const card = page.locator(`#order-${id}`);
  for (const [tab, button] of [
    ["Yangi", "Qabul qilish"],
    ["Qabul qilingan", "Usta yo‘lga chiqdi"],
    ["Bajarilmoqda", "Yakunlash"],
  ] as const) {
    await page.locator(".tab", { hasText: tab }).tap();
    await submit(page, () => card.getByRole("button", { name: button }).tap());
    await page.locator(".notice").waitFor();
  }
  expect(await board.stageOf(id)).toBe("completed");
  await page.goto(`${board.url}/board/days`);
  const widths = await page
    .locator("body")
    .evaluate((body) => [body.scrollWidth, body.clientWidth]);
  expect(widths[0]).toBe(widths[1]);
  expect(board.violations).toEqual([]);
});
