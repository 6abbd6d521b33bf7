import { describe, expect, test } from "bun:test";
import { createSignInLink } from "../../src/board/sign-in.ts";
import { createBoard } from "../support/board.ts";
import { KEYS } from "../support/dispatchers.ts";
import { createServiceOn } from "../support/service.ts";

const MINUTE_MS = 60_000;

type Board = ReturnType<typeof createBoard>;

const linkFor = ({ world }: Board, name: keyof typeof KEYS) =>
  createSignInLink({ name, key: KEYS[name] }, world.nowMs);

/** Presses the button on the page of a sign-in link. */
async function press(board: Pick<Board, "submit">, path: string, headers = {}) {
  const link = new URLSearchParams(path.split("?")[1]).get("link");
  return board.submit("/board/sign-in", { link }, headers);
}

/** Opens a sign-in link. Returns the cookie that it sets. */
async function openLink({ send }: Board, path: string, headers = {}) {
  const answer = await send(path, { headers });
  return answer.headers.get("set-cookie")?.split(";")[0] ?? "";
}

/** Returns the name of the signed-in dispatcher. */
async function nameAfter({ send }: Board, answer: Response) {
  const cookie = answer.headers.get("set-cookie")?.split(";")[0] ?? "";
  const text = await (await send("/board", { headers: { cookie } })).text();
  return /class="who"><bdi>(\w+)</.exec(text)?.[1];
}

describe("a sign-in link", () => {
  test("signs its dispatcher in once", async () => {
    const board = createBoard();
    const link = await linkFor(board, "Bekzod");
    const first = await press(board, link);
    expect([first.status, first.headers.get("location")]).toEqual([303, "/board"]);
    expect(await nameAfter(board, first)).toBe("Bekzod");
    const second = await press(board, link);
    expect([second.status, second.headers.get("set-cookie")]).toEqual([403, null]);
    expect(await second.text()).toContain("Ссылка уже использована или устарела");
    // Other links and keys still work.
    board.world.nowMs += 1;
    expect((await press(board, await linkFor(board, "Bekzod"))).status).toBe(303);
    expect((await press(board, await linkFor(board, "Aziza"))).status).toBe(303);
  });

  test("is used by one of two simultaneous taps", async () => {
    const board = createBoard();
    const link = await linkFor(board, "Aziza");
    const answers = await Promise.all([press(board, link), press(board, link)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([303, 403]);
  });

  test("signs in again in the browser that used it, but in no other, while it is valid", async () => {
    const board = createBoard();
    const link = await linkFor(board, "Aziza");
    const cookie = await openLink(board, link);
    expect((await press(board, link, { cookie })).status).toBe(303);
    // The first response was lost; the dispatcher opens the link again.
    expect(await openLink(board, link, { cookie })).toBe(cookie);
    const again = await press(board, link, { cookie });
    expect([again.status, await nameAfter(board, again)]).toEqual([303, "Aziza"]);
    expect((await press(board, link, { cookie: "nmservis-link=" })).status).toBe(403);
    expect((await press(board, link)).status).toBe(403);
    board.world.nowMs += 15 * MINUTE_MS;
    expect((await press(board, link, { cookie })).status).toBe(403);
  });

  test("is refused when opened in a browser other than the one that used it", async () => {
    const board = createBoard();
    const link = await linkFor(board, "Aziza");
    const [first, second] = [await openLink(board, link), await openLink(board, link)];
    expect(first).not.toBe(second);
    expect((await press(board, link, { cookie: second })).status).toBe(303);
    for (const cookie of [first, ""]) {
      const answer = await board.send(link, { headers: { cookie } });
      expect([answer.status, answer.headers.get("set-cookie")]).toEqual([403, null]);
      const text = await answer.text();
      expect(text).toContain("Ссылка уже использована или устарела");
      expect(text).not.toContain('name="link"');
      expect((await press(board, link, { cookie: first })).status).toBe(403);
    }
  });

  test.each([
    [{}, ""],
    [{ PUBLIC_URL: "https://orders.example.uz" }, "; Secure"],
  ])("with %p sets a cookie for the sign-in only, until it expires", async (settings, secure) => {
    const board = createBoard(settings);
    const answer = await board.send(await linkFor(board, "Aziza"));
    const [value, ...attributes] = answer.headers.get("set-cookie")?.split("; ") ?? [];
    expect(value).toMatch(/^nmservis-link=[\da-f-]{36}$/);
    expect(attributes.join("; ")).toBe(
      `Max-Age=900; Path=/board/sign-in; HttpOnly; SameSite=Lax${secure}`,
    );
  });

  test("is not used by opening it, and is kept out of Referer", async () => {
    const board = createBoard();
    const link = await linkFor(board, "Aziza");
    for (const method of ["GET", "HEAD", "GET"]) {
      const { status, headers } = await board.send(link, { method });
      expect([status, headers.get("referrer-policy")]).toEqual([200, "strict-origin"]);
    }
    const text = await (await board.send(link)).text();
    expect(text).toContain("Войти как <bdi>Aziza</bdi>");
    expect(text).not.toContain('name="key"');
    expect((await press(board, link)).status).toBe(303);
  });

  test("never reaches the log", async () => {
    const board = createBoard();
    const link = await linkFor(board, "Aziza");
    const signature = link.split(".").at(-1) ?? "";
    await board.send(link);
    await press(board, `${link}x`);
    await press(board, link);
    await press(board, link);
    expect(board.world.lines.join()).toContain("POST /board/sign-in 303");
    expect(board.world.lines.join()).not.toContain(signature);
  });

  test("expires after 15 minutes", async () => {
    const board = createBoard();
    const [link, other] = [await linkFor(board, "Aziza"), await linkFor(board, "Bekzod")];
    board.world.nowMs += 15 * MINUTE_MS - 1;
    expect((await press(board, link)).status).toBe(303);
    board.world.nowMs += 1;
    expect((await board.send(other)).status).toBe(403);
    expect((await press(board, other)).status).toBe(403);
  });

  test("stays used after a restart, for other instances, and if the clock is set back", async () => {
    const board = createBoard();
    const link = await linkFor(board, "Aziza");
    const environment = { API_KEY: "a-client-s-key-of-it", DISPATCHERS: `Aziza:${KEYS.Aziza}` };
    const { app } = createServiceOn(board.dependencies, environment);
    expect((await press(board, link)).status).toBe(303);
    board.world.nowMs += 20 * MINUTE_MS;
    await press(board, await linkFor(board, "Bekzod"));
    board.world.nowMs -= 19 * MINUTE_MS;
    const submit = async (path: string, form: object) =>
      app.http.handle(
        new Request(`http://localhost${path}`, {
          method: "POST",
          body: new URLSearchParams({ ...form }).toString(),
          headers: {
            host: "localhost",
            "content-type": "application/x-www-form-urlencoded",
            "sec-fetch-site": "same-origin",
          },
        }),
      );
    expect((await press({ submit }, link)).status).toBe(403);
  });

  test("is void if the dispatcher's key has changed, or the link was altered", async () => {
    const board = createBoard();
    const { nowMs } = board.world;
    const make = (name: string, key: string, now = nowMs) => createSignInLink({ name, key }, now);
    const link = await make("Aziza", KEYS.Aziza);
    const [, endsAt = "", signature] = link.split(".");
    const later = await make("Aziza", KEYS.Aziza, nowMs + 60 * MINUTE_MS);
    for (const forged of [
      await make("Aziza", "former-key-of-aziza"),
      await make("Aziza", KEYS.Bekzod),
      await make("Nobody", KEYS.Aziza),
      // Made while the clock was ahead: it would be valid for too long.
      later,
      link.replace(endsAt, String(Number(endsAt) + 1)),
      link.replace(/=\w+\./, `=${Buffer.from("Bekzod").toString("base64url")}.`),
      link.replace(`.${signature}`, ""),
      link.slice(0, -1),
      "/board/sign-in?link=",
      "/board/sign-in?link=...",
    ]) {
      expect((await board.send(forged)).status, forged).toBe(403);
      const answer = await press(board, forged);
      expect([403, 429], forged).toContain(answer.status);
      expect(answer.headers.get("set-cookie")).toBeNull();
    }
    // Wrong links count as wrong keys; the right one always works.
    expect((await press(board, "/board/sign-in?link=x")).status).toBe(429);
    expect((await press(board, link)).status).toBe(303);
  });

  test("is refused from other sites, and if the browser would drop the session", async () => {
    const board = createBoard({ PUBLIC_URL: "https://orders.example.uz" });
    const link = new URLSearchParams((await linkFor(board, "Aziza")).split("?")[1]).get("link");
    const statusFrom = async (headers: Record<string, string>) =>
      (await board.submit("/board/sign-in", { link }, headers)).status;
    expect(await statusFrom({ "sec-fetch-site": "cross-site" })).toBe(403);
    expect(await statusFrom({ origin: "http://192.168.0.2:8000" })).toBe(403);
    // Neither has used the link up.
    expect(await statusFrom({})).toBe(303);
  });
});

describe("the sign-in page", () => {
  test("accepts a key with spaces around it", async () => {
    const { submit } = createBoard();
    expect((await submit("/board/sign-in", { key: `\t ${KEYS.Aziza} \n` })).status).toBe(303);
  });

  test("describes the field by the reason for a refusal: it takes the focus at once", async () => {
    const { submit } = createBoard();
    const text = await (await submit("/board/sign-in", { key: "wrong" })).text();
    expect(text).toContain('<p role="alert" id="reason">Неверный ключ.</p>');
    expect(text).toMatch(/<input[^>]*name="key"[^>]*aria-describedby="reason"/);
  });

  test.each([
    ["uz", "uz"],
    ["en-GB,en;q=0.9", "en"],
    ["ru;q=0.5, uz-Latn-UZ;q=0.8, en;q=0.3", "uz"],
    ["de, EN ; q=0.1", "en"],
    ["kk,ru-KZ;q=0.9,en;q=0.8", "ru"],
    ["uz;q=0,en;q=0.1", "en"],
    ["en;q=0.7,uz;q=0.7", "en"],
    ["de", "ru"],
    ["*", "ru"],
    [";;;q=,en;q=x", "ru"],
  ])("for the browser's languages %p is in %p", async (accepted, language) => {
    const { send } = createBoard();
    const answer = await send("/board/sign-in", { headers: { "accept-language": accepted } });
    expect(await answer.text()).toContain(`<html lang="${language}">`);
  });

  test("is in the chosen language, whatever the browser prefers", async () => {
    const { send } = createBoard();
    const headers = { "accept-language": "uz", cookie: "lang=en" };
    const answer = await send("/board/sign-in", { headers });
    expect(await answer.text()).toContain('<html lang="en">');
  });
});
