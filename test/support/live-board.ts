import { join } from "node:path";
import type { BrowserContextOptions, Page, Request as PageRequest } from "playwright-core";
import { closeBrowser, openBrowser } from "./browser.ts";
import { API_KEY, DISPATCHERS, KEYS } from "./dispatchers.ts";
import { startHttpProxy } from "./http-proxy.ts";
import { spawnService, temporaryFolder } from "./process.ts";

/** Without HTTPS, Web Locks are only available on loopback names. */
export const HOSTNAMES = ["127.0.0.1", "board.test"] as const;

/** Starts a service with two dispatchers, and a browser if the machine has one. */
export async function openLiveBoard(wantedFor: string) {
  const browser = await openBrowser(wantedFor);
  const folder = temporaryFolder();
  const service = await spawnService({
    DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    ALLOWED_HOSTS: "127.0.0.1,board.test",
    ORDERS_PER_USER_PER_HOUR: "0",
    LOG_LEVEL: "warn",
    API_KEY,
    DISPATCHERS,
  });
  const headers = { "x-api-key": API_KEY };
  let phones = 901_000_000;

  /** Signs in and returns the dispatcher's session cookie. */
  async function signIn(name: keyof typeof KEYS) {
    const answer = await fetch(`${service.url}/board/sign-in`, {
      method: "POST",
      body: new URLSearchParams({ key: KEYS[name] }),
      headers: { "sec-fetch-site": "same-origin" },
      redirect: "manual",
    });
    const [cookie = "", value = ""] = answer.headers.get("set-cookie")?.split(/[=;]/) ?? [];
    return { name: cookie, value };
  }

  /** Opens a browser profile signed in as Aziza, behind its own proxy. */
  async function openProfile(
    hostname: (typeof HOSTNAMES)[number] = "127.0.0.1",
    options: BrowserContextOptions = {},
  ) {
    const proxy = startHttpProxy(service.url);
    const origin = `http://${hostname}:${proxy.port}`;
    const viewport = { width: 1360, height: 900 };
    const context = await browser?.newContext({ viewport, locale: "ru", ...options });
    if (context === undefined) throw new Error("no browser is installed");
    await context.addCookies([{ ...(await signIn("Aziza")), url: origin }]);
    const streams: { readonly request: PageRequest; readonly page: Page }[] = [];
    const profile = {
      ...{ proxy, origin, context },
      /** The tab with the newest open stream. If two tabs open one at once, one gives up. */
      get leader(): Page | undefined {
        return streams.at(-1)?.page;
      },
      async open(path = "/board"): Promise<Page> {
        const page = await context.newPage();
        await page.goto(origin + path);
        return page;
      },
      async [Symbol.asyncDispose]() {
        await context.close();
        proxy[Symbol.dispose]();
      },
    };
    context.on("request", (request) => {
      if (!request.url().endsWith("/board/changes")) return;
      streams.push({ request, page: request.frame().page() });
    });
    const onEnd = (ended: PageRequest) => {
      const index = streams.findIndex(({ request }) => request === ended);
      if (index >= 0) streams.splice(index, 1);
    };
    context.on("requestfailed", onEnd);
    context.on("requestfinished", onEnd);
    return profile;
  }

  return {
    ...{ service, signIn, openProfile, hasBrowser: browser !== undefined },
    /** Places a paid order of a new customer. */
    async order(more: object = {}, name?: string): Promise<number> {
      const person = { phone_number: String(phones++), full_name: name };
      const user = await service.post("/register", person, headers);
      const wanted = { user_id: user.body["user_id"], tariff_code: "standard_300", ...more };
      return Number((await service.post("/create_order", wanted, headers)).body["order_id"]);
    },
    /** Submits a form for the order as Bekzod, without a browser. Returns the status. */
    async submit(id: number, verb: string, form: Record<string, string>): Promise<number> {
      const { name, value } = await signIn("Bekzod");
      const { status } = await fetch(`${service.url}/board/orders/${id}/${verb}`, {
        method: "POST",
        body: new URLSearchParams(form),
        headers: { "sec-fetch-site": "same-origin", cookie: `${name}=${value}` },
        redirect: "manual",
      });
      return status;
    },
    stageOf: async (id: number) =>
      (await service.request(`/orders/${id}`, { headers })).body["stage"],
    async [Symbol.asyncDispose]() {
      await closeBrowser();
      await service[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

/** Returns a function that waits until the tab shows this order. */
export function shows(id: number) {
  return (page: Page) => page.locator(`#order-${id}`).waitFor();
}

/** Polls until the condition holds; the test's timeout is the limit. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await Bun.sleep(20);
}

/** Returns the button that moves an order to its next stage. */
export function nextStageButton(page: Page, id: number) {
  return page.locator(`#order-${id} form.step.primary button`);
}

function html(text: string, status: number): Response {
  return new Response(text, { status, headers: { "content-type": "text/html" } });
}

/** Returns the response of a proxy whose service is down. */
export const badGateway = () => html("<main><h1>502 Bad Gateway</h1></main>", 502);

/** Responses that the board's scripts must treat as failures. */
export const FAILURES: readonly (() => Response)[] = [
  badGateway,
  () => html("<main id=main>Maintenance</main>", 200),
  () => html("<main data-viewer='Aziza ru'>Busy</main>", 503),
  () => Response.json({ code: "internal_error" }, { status: 500 }),
  () => Response.json({ code: "body_too_large" }, { status: 413 }),
  () => Response.json({ code: "missing_api_key" }, { status: 401 }),
];
