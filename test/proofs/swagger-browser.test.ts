import { afterAll, expect, test, setDefaultTimeout } from "bun:test";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { closeBrowser, openBrowser } from "../support/browser.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";

setDefaultTimeout(BUSY_MACHINE_MS);
afterAll(closeBrowser);

const API_KEY = "a-key-to-try";

/** Clicks "Execute" for an operation in Swagger UI and returns the response body it shows. */
async function execute(page: Page, operationId: string): Promise<unknown> {
  const operation = page.locator(`[id$="${operationId}"]`);
  await operation.locator(".opblock-summary-control").click();
  await operation.getByRole("button", { name: "Execute" }).click();
  const shown = operation.locator(".live-responses-table .response .highlight-code code").first();
  return JSON.parse(await shown.innerText());
}

test("Swagger UI cannot be framed by another site (clickjacking)", async () => {
  const browser = await openBrowser("a page that frames Swagger UI");
  if (browser === undefined) return;
  using folder = temporaryFolder();
  await using service = await spawnService({ DATABASE_URL: `file:${join(folder.path, "x.db")}` });
  using foreign = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () =>
      new Response(`<!doctype html><iframe src="${service.url}/swagger"></iframe>`, {
        headers: { "content-type": "text/html" },
      }),
  });
  await using page = await browser.newPage();
  await page.goto(foreign.url.href);
  const [, frame] = page.frames();
  expect(frame?.url()).toStartWith("chrome-error:");
  expect(await frame?.locator("#swagger-ui").count()).toBe(0);
});

test("Swagger UI: registering and ordering works without requests to other hosts", async () => {
  const browser = await openBrowser("Swagger UI");
  if (browser === undefined) return;
  using folder = temporaryFolder();
  await using service = await spawnService({
    DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    API_KEY,
  });
  await using page = await browser.newPage({ viewport: { width: 1200, height: 2400 } });
  const complaints: string[] = [];
  await page.route("**/*", (route) => {
    const { origin } = new URL(route.request().url());
    if (origin === service.url || origin === "null") return route.continue();
    complaints.push(`request to ${origin}`);
    return route.abort();
  });
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));

  await page.goto(`${service.url}/swagger`);
  await page.getByRole("button", { name: "Authorize" }).first().click();
  const dialog = page.locator(".dialog-ux");
  await dialog.locator("input").first().fill(API_KEY);
  await dialog.getByRole("button", { name: "Apply credentials" }).first().click();
  await dialog.getByRole("button", { name: "Close" }).first().click();

  expect(await execute(page, "registerUser")).toEqual({
    status: "ok",
    message: "User registered successfully",
    user_id: 1,
  });
  expect(await execute(page, "createOrder")).toEqual({
    status: "ok",
    order_id: 1,
    message: "Order created and payment processed",
  });
  const screenshot = process.env["SCREENSHOT"];
  if (screenshot !== undefined) await page.screenshot({ path: screenshot, fullPage: true });
  expect(complaints).toEqual([]);
});
