import { describe, expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { inSum, money } from "../../src/lib/format.ts";
import { createBoard } from "../support/board.ts";

const ADMIN_API_KEY = "the-owner-s-key-of-it";

describe("money", () => {
  test.each([
    [0, "0", "0"],
    [1, "0,01", "0.01"],
    [99, "0,99", "0.99"],
    [100, "1", "1"],
    [15_050, "150,50", "150.50"],
    [30_000, "300", "300"],
    [99_999_999, "999\u00a0999,99", "999999.99"],
    [123_456_789_000, "1\u00a0234\u00a0567\u00a0890", "1234567890"],
    [Number.MAX_SAFE_INTEGER - 1, "90\u00a0071\u00a0992\u00a0547\u00a0409,90", "90071992547409.90"],
    [Number.MAX_SAFE_INTEGER, "90\u00a0071\u00a0992\u00a0547\u00a0409,91", "90071992547409.91"],
  ])("%d tiyin is %s sum for people and %s for programs", (tiyin, forPeople, forPrograms) => {
    expect([money(tiyin), inSum(tiyin)]).toEqual([forPeople, forPrograms]);
  });

  test("is exact on every page", async () => {
    const board = createBoard({ ADMIN_API_KEY });
    const owner = { "x-api-key": ADMIN_API_KEY };
    await board.put("/tariffs/odd", { title: "Odd", price_tiyin: 15_050 }, owner);
    const id = await board.order({ tariff_code: "odd" });
    const { read, submit } = await board.signIn("Aziza");
    const figures = "<b>150,50</b> сум";
    const page = async (path: string) => (await read(path)).text;
    expect(await page("/board")).toContain(figures);
    expect(await page("/board")).toContain(`<span class="money">150,50 сум</span>`);
    expect(await page(`/board/orders/${id}`)).toMatch(/Вернуть деньги клиенту:\s+150,50 сум/);
    expect(await page(`/board/orders/${id}`)).toContain("<bdi>Odd</bdi>, 150,50 сум");
    const days = await page("/board/days");
    expect(days).toContain(figures);
    expect(days).toContain(`<td class="money">150,50</td>`);
    expect(days).toContain("23.11: 1 заказ, 150,50 сум");
    // The visible label of a bar is rounded.
    expect(days).toContain(">151</text");
    await submit(`/board/orders/${id}/cancel`, { seen: "new", reason: "area", owed: "yes" });
    expect(await page("/board")).toContain(`№ ${id} · 150,50`);
  });
});

/** Reads all pages that show user text. */
async function pagesWith(texts: Record<"name" | "address" | "comment" | "title" | "note", string>) {
  const board = createBoard();
  const { dependencies, signIn } = board;
  const [first, second] = [await board.order(), await board.order()];
  const [aziza, bekzod] = [await signIn("Aziza"), await signIn("Bekzod")];
  await aziza.submit(`/board/orders/${first}/accept`, { seen: "new" });
  const cancel = { seen: "new", reason: "area", note: "note", owed: "yes" };
  await aziza.submit(`/board/orders/${second}/cancel`, cancel);
  const refund = { seen: "cancelled", reference: "note" };
  await aziza.submit(`/board/orders/${second}/refund`, refund);
  const waiting = await board.order();
  // Written directly: older versions stored such texts.
  await dependencies.store.run(async (tx) => {
    const { users, orders, tariffs, orderEvents } = tx.tables;
    const { address, comment, note } = texts;
    await tx.update(users).set({ fullName: texts.name });
    await tx.update(tariffs).set({ title: texts.title });
    await tx.update(orders).set({ address, comment });
    await tx.update(orderEvents).set({ note }).where(eq(orderEvents.note, "note"));
  });
  const paths = [
    "/board",
    `/board?done=${second}`,
    ...[first, second, waiting].map((id) => `/board/orders/${id}`),
    "/board/days",
    `/board/search?q=4567`,
    `/board/search?q=${encodeURIComponent(texts.name)}`,
  ];
  const pages = await Promise.all(paths.map(async (path) => (await bekzod.read(path)).text));
  const conflict = await bekzod.submit(`/board/orders/${first}/accept`, { seen: "new" });
  return [...pages, await conflict.text()];
}

describe("user text on the board", () => {
  test("is isolated from its neighbours on every page", async () => {
    const texts = { name: "NAME", address: "ADDR", comment: "COMM", title: "TITL", note: "NOTE" };
    const pages = await pagesWith(texts);
    for (const text of [...Object.values(texts), "Aziza", "Bekzod"]) {
      const uses = pages.join("\n").split(`<bdi>${text}</bdi>`);
      expect(uses.length).toBeGreaterThan(1);
      // The search field sets its own direction, and link targets are not shown.
      const bare = uses
        .join("")
        .replaceAll(
          /dir="auto"\s+value="NAME"|(href|data-viewer|name="viewer" value)="[^"]*"/g,
          "",
        );
      expect(bare).not.toContain(text);
    }
  });

  test("loses bidirectional controls, which could break the isolation", async () => {
    const evil = "\u202eab\u2066c\u2069\u202c";
    const texts = { name: evil, address: evil, comment: evil, title: evil, note: evil };
    const pages = await pagesWith(texts);
    const shown = pages.join("\n").replaceAll(/value="[^"]*"/g, "");
    expect(shown).toContain("<bdi>abc</bdi>");
    expect(shown).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/);
  });

  test("counts as missing if it is invisible", async () => {
    const blank = "\u3164\u2800\ufe0f";
    const texts = { name: blank, address: blank, comment: blank, title: blank, note: blank };
    const pages = await pagesWith(texts);
    const [all = "", , order = ""] = pages;
    expect(all).toContain("Адрес не указан");
    expect(all).toContain(`<span class="tariff">standard_300</span>`);
    expect(order).toContain("Адрес не указан");
    expect(order).not.toContain("Комментарий");
    expect(pages.join("").replaceAll(/value="[^"]*"/g, "")).not.toContain("\u3164");
  });
});

describe("note and refund reference", () => {
  test.each(["a\u202eb", "\u2066a", "a\u200f", "\u3164", "\u2800", "\ufe0f\u{e0100}", "\u0301"])(
    "%j is refused, and offered again for correction",
    async (text) => {
      const { signIn, order, look } = createBoard();
      const id = await order();
      const { submit } = await signIn("Aziza");
      const cancel = { seen: "new", reason: "area", owed: "yes" };
      const refused = await submit(`/board/orders/${id}/cancel`, { ...cancel, note: text });
      expect(refused.status).toBe(422);
      const page = await refused.text();
      expect(page).toContain(`data-code="invalid_text"`);
      // Without the directional controls: invisible characters can hardly be deleted.
      const offered = text.replace(/[\u200f\u202e\u2066]/g, "");
      expect(page).toContain(`value="${offered}"`);
      expect(page).toContain(`action="/board/orders/${id}/cancel"`);
      expect((await look(id))["stage"]).toBe("new");
      await submit(`/board/orders/${id}/cancel`, cancel);
      const refund = { seen: "cancelled", reference: text };
      expect((await submit(`/board/orders/${id}/refund`, refund)).status).toBe(422);
      expect((await look(id))["refund"]).toBe("owed");
    },
  );

  test.each(["Ali bilan kelishildi 👨‍👩‍👧", "позвонить в 9:00", "اتصل به", "❤️"])(
    "%j is stored",
    async (note) => {
      const { signIn, order } = createBoard();
      const id = await order();
      const { submit, read } = await signIn("Aziza");
      await submit(`/board/orders/${id}/cancel`, { seen: "new", reason: "area", note });
      expect((await read(`/board/orders/${id}`)).text).toContain(`<bdi>${note}</bdi>`);
    },
  );
});
