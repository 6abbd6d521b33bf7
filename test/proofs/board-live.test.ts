import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import {
  badGateway,
  FAILURES,
  HOSTNAMES,
  openLiveBoard,
  shows,
  until,
  nextStageButton,
} from "../support/live-board.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const board = await openLiveBoard("the board's live updates");
const { service, order, signIn, openProfile } = board;
const suite = describe.skipIf(!board.hasBrowser);

afterAll(() => board[Symbol.asyncDispose]());

/** Opens two tabs with live updates; the first holds the stream. */
async function openTwoTabs() {
  const profile = await openProfile();
  await profile.context.clock.install();
  const tabs = [await profile.open()];
  await inAll(tabs, reaches("connected"));
  tabs.push(await profile.open());
  await inAll(tabs, reaches("connected"));
  return Object.assign(profile, { tabs });
}

const inAll = (tabs: readonly Page[], wait: (page: Page) => Promise<void>) =>
  Promise.all(tabs.map(wait));
const reaches = (state: string) => (page: Page) => page.locator(`#status.${state}`).waitFor();

suite.each(HOSTNAMES)("board tabs in one browser on http://%s", (hostname) => {
  test("share one stream, which another tab takes over", async () => {
    await using profile = await openProfile(hostname);
    const { proxy, open, context } = profile;
    await context.clock.install();
    let tabs: Page[] = [];
    for (let n = 0; n < 8; n++) tabs.push(await open());
    await inAll(tabs, reaches("connected"));
    await until(() => proxy.streams() === 1);

    /** Expects that another tab has taken over the stream and a new order reaches all tabs. */
    async function expectTakeover(gone: Page | undefined) {
      tabs = tabs.filter((page) => page !== gone);
      const isLed = () => profile.leader !== undefined && profile.leader !== gone;
      await until(() => isLed() && proxy.streams() === 1);
      await inAll(tabs, shows(await order()));
    }

    await expectTakeover(undefined);
    const [id, last] = [await order(), tabs.at(-1)];
    if (last === undefined) throw new Error("no tab");
    await nextStageButton(last, id).click();
    await last.locator(`.accepted #order-${id}`).waitFor();
    await inAll(tabs, (page) => page.locator(`.accepted #order-${id}`).waitFor());

    const closed = profile.leader;
    await closed?.close();
    await expectTakeover(closed);

    const frozen = profile.leader;
    await frozen?.evaluate(`document.dispatchEvent(new Event("freeze"))`);
    await expectTakeover(frozen);
    await frozen?.close();

    const crashed = profile.leader;
    await crashed?.goto("chrome://crash").catch(() => {});
    await crashed?.close();
    // Without Web Locks, tabs only detect the crash by a timeout.
    if (hostname === "board.test") await context.clock.fastForward(45_000);
    await expectTakeover(crashed);
  });
});

suite("board stream", () => {
  test("is opened by the board and order pages, not by the daily totals or sign-in", async () => {
    await using profile = await openProfile();
    const { proxy, open } = profile;
    const id = await order();
    const page = await open("/board/days");
    for (const path of ["/board/search?q=zz", "/board/sign-in", `/board/orders/${id}`]) {
      await page.goto(profile.origin + path);
    }
    await reaches("connected")(page);
    expect(proxy.seen.filter((one) => one === "GET /board/changes")).toHaveLength(1);
  });

  test("is reopened after a 502; all tabs show offline meanwhile", async () => {
    await using profile = await openTwoTabs();
    const { proxy, tabs, context } = profile;
    await context.clock.pauseAt(Date.now() + 20_000);
    await inAll(tabs, shows(await order()));
    proxy.judge = (request) => (request.url.endsWith("/board/changes") ? badGateway() : "pass");
    proxy.cutStreams();
    await inAll(tabs, reaches("offline"));
    proxy.judge = () => "pass";
    // Less than the silence timeout.
    await context.clock.runFor(1_000);
    await inAll(tabs, reaches("connected"));
    await inAll(tabs, shows(await order()));
  });

  test("is closed after 40 s of silence from a stopped process", async () => {
    await using profile = await openTwoTabs();
    const { tabs, context } = profile;
    service.signal("SIGSTOP");
    try {
      await context.clock.fastForward(41_000);
      await inAll(tabs, reaches("connecting"));
      await context.clock.fastForward(11_000);
      await inAll(tabs, reaches("offline"));
    } finally {
      service.signal("SIGCONT");
    }
    await context.clock.fastForward(11_000);
    await inAll(tabs, reaches("connected"));
    await inAll(tabs, shows(await order()));
  });

  test("is reopened after network, visibility and freeze events", async () => {
    await using profile = await openProfile();
    const page = await profile.open();
    await reaches("connected")(page);
    for (const sign of [
      `dispatchEvent(new Event("online"))`,
      `dispatchEvent(new Event("offline"))`,
      `document.dispatchEvent(new Event("visibilitychange"))`,
      `document.dispatchEvent(new Event("freeze"));
       document.dispatchEvent(new Event("resume"))`,
      `dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
       dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))`,
    ]) {
      profile.proxy.stallStreams();
      const id = await order();
      await page.evaluate(sign);
      await shows(id)(page);
    }
  });

  test("moves from a hidden tab to a visible one", async () => {
    await using profile = await openTwoTabs();
    const [first, second] = profile.tabs;
    expect(profile.leader).toBe(first);
    await first?.evaluate(`Object.defineProperty(document, "hidden", { value: true });
      document.dispatchEvent(new Event("visibilitychange"))`);
    await until(() => profile.leader === second && profile.proxy.streams() === 1);
    await inAll(profile.tabs, shows(await order()));
  });
});

suite("board page", () => {
  test("is refreshed after the computer wakes up", async () => {
    await using profile = await openTwoTabs();
    const id = await order();
    await inAll(profile.tabs, shows(id));
    const [page] = profile.tabs;
    await page?.evaluate(`document.querySelector("#order-${id} .age").textContent = "old"`);
    await profile.context.clock.fastForward("02:00:00");
    await page?.locator(`#order-${id} .age`, { hasNotText: "old" }).waitFor();
  });

  test("does not change if a refresh fails or is redirected", async () => {
    await using profile = await openProfile();
    const { proxy, origin } = profile;
    const [page, id] = [await profile.open(), await order()];
    await shows(id)(page);
    for (const failure of [...FAILURES, () => Response.redirect("/board/days", 303)]) {
      let refreshes = 0;
      proxy.judge = (request) => {
        if (new URL(request.url).pathname !== "/board") return "pass";
        refreshes++;
        return failure();
      };
      const missed = await order();
      await until(() => refreshes > 0);
      // The second refresh begins after the first has ended.
      await order();
      await until(() => refreshes > 1);
      expect(await page.locator(`#order-${id}`).count()).toBe(1);
      expect(await page.locator(`#order-${missed}`).count()).toBe(0);
      proxy.judge = () => "pass";
      await shows(await order())(page);
      await shows(missed)(page);
      await shows(id)(page);
      expect(page.url()).toBe(`${origin}/board`);
    }
  });

  test("shows the sign-in form if another tab signs out", async () => {
    await using profile = await openTwoTabs();
    const [first, second] = profile.tabs;
    await second?.locator(".cancel summary").first().click();
    await first?.locator(".menu summary").click();
    await first?.getByRole("button", { name: "Выйти" }).click();
    await inAll(profile.tabs, (page) => page.waitForURL("**/board/sign-in*"));
    await until(() => profile.proxy.streams() === 0);
  });

  test("shows the dispatcher who signed in on another tab", async () => {
    await using profile = await openProfile();
    const page = await profile.open();
    await reaches("connected")(page);
    await profile.context.addCookies([{ ...(await signIn("Bekzod")), url: profile.origin }]);
    await order();
    await page.locator(".who", { hasText: "Bekzod" }).waitFor();
  });

  test("shows the dispatcher who signed in on another tab, without a stream", async () => {
    await using profile = await openProfile();
    const page = await profile.open("/board/days");
    await profile.context.addCookies([{ ...(await signIn("Bekzod")), url: profile.origin }]);
    await profile.open();
    await page.locator(".who", { hasText: "Bekzod" }).waitFor();
  });

  test("keeps the input of a form without focus when it refreshes", async () => {
    await using profile = await openProfile();
    const id = await order();
    const page = await profile.open(`/board/orders/${id}`);
    await page.locator(".cancel summary").click();
    await page.getByLabel("Дубликат").check();
    await page.locator("button.danger").click();
    const reference = page.locator("input[name=reference]");
    await reference.fill("r-17");
    await reference.blur();
    await page.locator(".history").evaluate((list) => list.replaceChildren());
    // Any change refreshes the page.
    await order();
    await page.locator(".history li").first().waitFor();
    expect(await reference.inputValue()).toBe("r-17");
  });
});
