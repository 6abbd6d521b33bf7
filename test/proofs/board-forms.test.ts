import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { createSignInLink } from "../../src/board/sign-in.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import type { Verdict } from "../support/http-proxy.ts";
import { KEYS } from "../support/dispatchers.ts";
import {
  badGateway,
  FAILURES,
  openLiveBoard,
  shows,
  nextStageButton,
  until,
} from "../support/live-board.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const board = await openLiveBoard("the board's forms");
const { service, order, stageOf, signIn, openProfile } = board;
const suite = describe.skipIf(!board.hasBrowser);

afterAll(() => board[Symbol.asyncDispose]());

suite("a form", () => {
  /** An open cancel form with a note and a chosen reason, and its submit button. */
  async function fillCancelForm(page: Page, id: number) {
    const card = page.locator(`#order-${id}`);
    await card.locator("summary").click();
    await card.getByLabel("Вне зоны обслуживания").check();
    await card.locator("input[name=note]").fill("over the river");
    return {
      send: () => card.locator("button.danger").click(),
      async expectKept() {
        await card.locator("form:not([aria-busy]) button.danger").waitFor();
        const failure = card.locator(".failure");
        expect(await failure.innerText()).toBe("Не сохранено. Попробуйте ещё раз.");
        expect(await card.getByLabel("Вне зоны обслуживания").isChecked()).toBe(true);
        expect(await card.locator("input[name=note]").inputValue()).toBe("over the river");
      },
    };
  }

  /** Sends a form to the service without the proxy. */
  const forward = async (request: Request) =>
    fetch(service.url + new URL(request.url).pathname, {
      ...{ method: "POST", headers: request.headers, redirect: "manual" },
      body: await request.text(),
    });

  /** Answers posts alone with the verdict. */
  const judgePosts = (judge: () => Verdict | Promise<Verdict>) => (request: Request) =>
    request.method === "POST" ? judge() : "pass";

  test("keeps its input after a failure, and can be sent again", async () => {
    await using profile = await openProfile();
    const { proxy, context, origin } = profile;
    await context.addInitScript(`const after = AbortSignal.timeout;
      AbortSignal.timeout = (ms) => after.call(AbortSignal, ms / 10)`);
    const [page, id] = [await profile.open(), await order()];
    await shows(id)(page);
    const { send, expectKept } = await fillCancelForm(page, id);
    for (const failure of [...FAILURES, (): Verdict => "stall"]) {
      proxy.judge = judgePosts(failure);
      await send();
      await expectKept();
      expect(page.url()).toBe(`${origin}/board`);
    }
    expect(proxy.seen.filter((one) => one.startsWith("POST"))).toHaveLength(FAILURES.length + 1);
    proxy.judge = () => "pass";
    await send();
    await page.locator(`#order-${id}`).waitFor({ state: "detached" });
    expect(await stageOf(id)).toBe("cancelled");
  });

  test("keeps its input if the service is gone, and so does the search", async () => {
    await using profile = await openProfile("board.test");
    const [page, id] = [await profile.open(), await order()];
    await shows(id)(page);
    const { send, expectKept } = await fillCancelForm(page, id);
    profile.proxy[Symbol.dispose]();
    await send();
    await expectKept();
    await page.locator(".search input").fill("901234567");
    await page.locator(".search input").press("Enter");
    await page.locator(".search .failure").waitFor();
    expect(await page.locator(".search input").inputValue()).toBe("901234567");
  });

  test.each([".card", ".menu"])(
    "in %s is closed by Escape, and returns the focus",
    async (where) => {
      await using profile = await openProfile();
      const id = await order();
      const page = await profile.open();
      await shows(id)(page);
      const opener = page.locator(`${where} summary`).first();
      const hasFocus = async () => (await page.locator(`${where} summary:focus`).count()) === 1;
      await opener.press("Enter");
      const form = page.locator("details[open]");
      await form.locator("form").waitFor();
      await page.keyboard.press("Tab");
      expect(await hasFocus()).toBe(false);
      await page.keyboard.press("Escape");
      await form.waitFor({ state: "detached" });
      expect(await hasFocus()).toBe(true);
      expect(await stageOf(id)).toBe("new");
    },
  );

  test.each([
    ["closed on a phone, where it hides the rest of the page", { width: 390, height: 844 }, 0],
    ["kept open on a desktop", { width: 1360, height: 900 }, 1],
  ])("that loses the focus is %s", async (_what, viewport, left) => {
    await using profile = await openProfile("127.0.0.1", { viewport });
    const [id, next] = [await order(), await order()];
    const page = await profile.open();
    await page.locator(`#order-${id} summary`).press("Enter");
    await page.locator(`#order-${id} button.danger`).focus();
    await page.keyboard.press("Tab");
    await page.locator(`#order-${next} a:focus`).waitFor();
    expect(await page.locator("details[open]").count()).toBe(left);
  });

  test("keeps its failure while the page is refreshed", async () => {
    await using profile = await openProfile();
    const [page, id] = [await profile.open(), await order()];
    await shows(id)(page);
    profile.proxy.judge = judgePosts(badGateway);
    await nextStageButton(page, id).click();
    await shows(await order())(page);
    expect(await page.locator(`#order-${id} .failure`).isVisible()).toBe(true);
  });

  test("shows that it was saved although the answer was lost", async () => {
    await using profile = await openProfile();
    const [page, id] = [await profile.open(), await order()];
    await shows(id)(page);
    profile.proxy.judge = async (request) => {
      if (request.method !== "POST") return "pass";
      await forward(request);
      return badGateway();
    };
    await nextStageButton(page, id).click();
    await page.locator(`.accepted #order-${id}`).waitFor();
    expect(await page.locator(".failure").count()).toBe(0);
  });

  test("is sent once by a double click, which does not reach the next step", async () => {
    await using profile = await openProfile();
    const id = await order();
    const page = await profile.open(`/board/orders/${id}`);
    await page.locator("form.step.primary button").dblclick({ delay: 50 });
    await page.locator(".badge.accepted").waitFor();

    const answering = Promise.withResolvers<Verdict>();
    let posts = 0;
    profile.proxy.judge = judgePosts(() => {
      posts++;
      return answering.promise;
    });
    const button = page.locator("form.step.primary button");
    await button.click();
    await page.locator("form.step.primary[aria-busy=true] button").waitFor();
    // A refresh does not add a second button.
    await page.locator(".history").evaluate((list) => list.replaceChildren());
    await order();
    await page.locator(".history li").first().waitFor();
    await button.click({ force: true });
    await page.evaluate(`document.querySelector("form.step.primary").requestSubmit()`);
    answering.resolve("pass");
    await page.locator(".badge.in_progress").waitFor();
    expect(posts).toBe(1);
    expect(await stageOf(id)).toBe("in_progress");
  });

  test.each([
    ["it was sent", true],
    ["the page found out", false],
  ])(
    "offers its input again after a new sign-in, if the session had ended and %s",
    async (_when, isSent) => {
      await using profile = await openProfile();
      const { context, origin } = profile;
      const [page, id] = [await profile.open(), await order()];
      await shows(id)(page);
      const { send } = await fillCancelForm(page, id);
      await page.locator(`#order-${id} input[name=owed]`).uncheck();
      await context.clearCookies();
      if (isSent) await send();
      else await order();
      await page.locator("#key").waitFor();
      await context.addCookies([{ ...(await signIn("Aziza")), url: origin }]);
      await page.goto(`${origin}/board`);
      const card = page.locator(`#order-${id}`);
      expect(await card.getByLabel("Вне зоны обслуживания").isChecked()).toBe(true);
      expect(await card.locator("input[name=note]").inputValue()).toBe("over the river");
      expect(await card.locator("input[name=owed]").isChecked()).toBe(false);
      await send();
      await card.waitFor({ state: "detached" });
      // Only once.
      await page.goto(`${origin}/board`);
      expect(await page.locator("details[open]").count()).toBe(0);
    },
  );

  test("of a sign-in link is sent once by two taps, and again after a lost response", async () => {
    await using profile = await openProfile();
    const { proxy, context, origin } = profile;
    await context.clearCookies();
    const aziza = { name: "Aziza", key: KEYS.Aziza };
    const page = await profile.open(await createSignInLink(aziza, Date.now()));
    const answering = Promise.withResolvers<void>();
    let posts = 0;
    proxy.judge = judgePosts(async (): Promise<Verdict> => {
      posts++;
      await answering.promise;
      return "pass";
    });
    const button = page.locator("button.primary");
    const { x = 0, y = 0 } = (await button.boundingBox()) ?? {};
    // Unlike a locator, the mouse does not wait for the navigation.
    await page.mouse.click(x + 9, y + 9);
    await until(() => posts === 1);
    await page.mouse.click(x + 9, y + 9);
    answering.resolve();
    await page.waitForURL(`${origin}/board`);
    expect(posts).toBe(1);

    await context.clearCookies();
    const link = await createSignInLink(aziza, Date.now());
    await page.goto(origin + link);
    proxy.judge = async (request) => {
      if (request.method !== "POST") return "pass";
      proxy.judge = () => "pass";
      await forward(request);
      return badGateway();
    };
    await button.click();
    await page.locator("h1", { hasText: "502" }).waitFor();
    await page.goto(origin + link);
    await button.click();
    await page.waitForURL(`${origin}/board`);
  });

  test("offers a refund reference again after a sign-in by link, in another language", async () => {
    await using profile = await openProfile();
    const { context, origin } = profile;
    const id = await order();
    await board.submit(id, "cancel", { seen: "new", reason: "area", owed: "yes" });
    const page = await profile.open(`/board/orders/${id}`);
    const reference = page.locator("input[name=reference]");
    await reference.fill("r-17");
    await context.clearCookies();
    await page.locator(".refund button.primary").click();
    await page.locator("#key").waitFor();
    await page.locator(".languages [hreflang=uz]").click();
    await page.locator("html[lang=uz] #key").waitFor();
    const aziza = { name: "Aziza", key: KEYS.Aziza };
    await page.goto(origin + (await createSignInLink(aziza, Date.now())));
    await page.locator("button.primary").click();
    await page.waitForURL(`${origin}/board`);
    await page.goto(`${origin}/board/orders/${id}`);
    expect(await reference.inputValue()).toBe("r-17");
  });

  test("offers the input of an open cancel form again, if another card's button was sent", async () => {
    await using profile = await openProfile();
    const [page, id, other] = [await profile.open(), await order(), await order()];
    await shows(other)(page);
    await fillCancelForm(page, id);
    await profile.context.clearCookies();
    await nextStageButton(page, other).dispatchEvent("click");
    await page.locator("#key").fill(KEYS.Aziza);
    await page.locator("button.primary").click();
    await page.waitForURL(`**/board/orders/${other}`);
    await page.locator(".back").click();
    await page.locator(`#order-${id} details[open]`).waitFor();
    expect(await page.locator(`#order-${id} input[name=note]`).inputValue()).toBe("over the river");
  });

  test("keeps its input if another tab changes the language", async () => {
    await using profile = await openProfile();
    const [page, id] = [await profile.open(), await order()];
    await shows(id)(page);
    await fillCancelForm(page, id);
    await profile.open("/board/language/uz?to=/board");
    await order();
    await page.locator(`html[lang=uz] #order-${id} details[open]`).waitFor();
    expect(await page.locator(`#order-${id} input[name=note]`).inputValue()).toBe("over the river");
  });

  test("shows the filter of the page again after Back, not the next one", async () => {
    await using profile = await openProfile();
    const page = await profile.open("/board/days");
    const day = await page.locator("[name=day]").inputValue();
    await page.locator("[name=day]").fill("2020-02-29");
    await page.locator("[name=stage]").selectOption("cancelled");
    await page.locator("#filter button").click();
    await page.waitForURL("**/board/days?day=2020-02-29&stage=cancelled");
    await page.goBack();
    expect(await page.locator("[name=day]").inputValue()).toBe(day);
    expect(await page.locator("[name=stage]").inputValue()).toBe("");
  });

  test.each(["{", "[]", "null", '["Aziza"]'])(
    "does not stop the script if the kept input is %p",
    async (kept) => {
      await using profile = await openProfile();
      const page = await profile.open();
      await page.evaluate(`sessionStorage.kept = ${JSON.stringify(kept)}`);
      await page.reload();
      await page.locator("#status.connected").waitFor();
    },
  );

  test("changes nothing and says who is signed in, if another dispatcher has signed in", async () => {
    await using profile = await openProfile();
    const { context, origin } = profile;
    const [page, id] = [await profile.open(), await order()];
    await shows(id)(page);
    await context.addCookies([{ ...(await signIn("Bekzod")), url: origin }]);
    await nextStageButton(page, id).click();
    const message = page.locator(".message", { hasText: "Сейчас в этом браузере работает Bekzod" });
    await message.waitFor();
    expect(await page.locator(".who").innerText()).toBe("Bekzod");
    expect(await stageOf(id)).toBe("new");
  });

  test("shows the conflict page, from which Back leads to the board", async () => {
    await using profile = await openProfile();
    const [page, id] = [await profile.open(), await order()];
    await shows(id)(page);
    // An open form keeps its card unchanged.
    const { send } = await fillCancelForm(page, id);
    const { name, value } = await signIn("Bekzod");
    await fetch(`${service.url}/board/orders/${id}/accept`, {
      method: "POST",
      body: new URLSearchParams({ seen: "new" }),
      headers: { "sec-fetch-site": "same-origin", cookie: `${name}=${value}` },
    });
    await send();
    await page.locator(".message", { hasText: "Bekzod" }).waitFor();
    await page.goBack();
    await page.locator(`.accepted #order-${id}`).waitFor();
  });
});
