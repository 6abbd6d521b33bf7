import { money } from "../lib/format.ts";
import { parseInteger } from "../http/parse-integer.ts";
import { eventsOfOrder, lastStep } from "../orders/event-queries.ts";
import { canUndo } from "../orders/change-stage.ts";
import { STAGES } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { parsePhoneNumber } from "../users/phone-number.ts";
import { answer, notFound, seeOther } from "./responses.ts";
import {
  cardById,
  cardsOfDay,
  cardsOfLastDigits,
  cardsOfPhone,
  cardsOfStage,
  countOpen,
  figuresByStage,
  MAX_COUNTED,
  refundsOwed,
} from "./board-queries.ts";
import { type DayFigures, daysView, figuresView } from "./days-view.ts";
import { dayOf, parseDay, startOfDay } from "./format.ts";
import { html, userText } from "./html.ts";
import { cardView, noticeView, orderView, tableView } from "./order-view.ts";
import type { Viewer } from "./layout.ts";

const DAYS = 14;
/** Orders of a column, of a search. */
const MAX_CARDS = 100;
const MAX_LISTED = 500;
const MAX_REFUNDS = 10;

/** The last digits of a number that are enough to look for it. */
const FEWEST_DIGITS = 4;

const OPEN_STAGES = ["new", "accepted", "in_progress"] as const;

/** What there is to see, read outside of every step: a page never holds up an order. */
export function createPages(store: Store) {
  async function showBoard(viewer: Viewer, query: URLSearchParams): Promise<Response> {
    const { words } = viewer;
    const today = dayOf(viewer.now);
    const [columns, open, figures, owed, notice] = await Promise.all([
      Promise.all(
        OPEN_STAGES.map((stage) =>
          store.read((tx) => cardsOfStage(tx, { stage, limit: MAX_CARDS })),
        ),
      ),
      store.read((tx) => countOpen(tx)),
      readDay(today),
      store.read((tx) => refundsOwed(tx, { limit: MAX_REFUNDS })),
      readNotice(query, viewer),
    ]);
    const counts = open[0] ?? { new: 0, accepted: 0, in_progress: 0 };
    return answer({
      ...{ title: words.board, path: "/board", viewer, newOrders: counts.new },
      content: html`<h1 class="visually-hidden">${words.board}</h1>
        ${notice}
        <section class="summary">
          <b>${words.today}</b> ${figuresView(figures, viewer)}
          ${
            owed.length > 0 &&
            html`<p class="owed">
              ${words.refundsOwed}:
              ${owed.map(({ id, amountTiyin }) => html`<a href="/board/orders/${id}">№ ${id} · ${money(amountTiyin)}</a> `)}
            </p>`
          }
        </section>
        <div class="columns">
          ${OPEN_STAGES.map(
            (stage, at) =>
              html`<section class="column ${stage}">
                <h2>
                  ${words.columns[stage]}
                  <span class="count">${counts[stage]}${counts[stage] === MAX_COUNTED && "+"}</span>
                </h2>
                <ul>
                  ${columns[at]?.map((card) => cardView(card, stage, viewer))}
                </ul>
                ${counts[stage] === 0 && html`<p class="empty">${words.empty}</p>`}
              </section>`,
          )}
        </div>`,
    });
  }

  /** What the form that led here has done. */
  async function readNotice(query: URLSearchParams, viewer: Viewer) {
    const orderId = parseInteger(query.get("done") ?? "");
    if (orderId === undefined) return undefined;
    const [last] = await store.read((tx) => lastStep(tx, { orderId }));
    const [card] = await store.read((tx) => cardById(tx, { orderId }));
    if (last === undefined || card === undefined || last.actor !== viewer.name) return undefined;
    return noticeView(last, canUndo(card, last, viewer.now), viewer);
  }

  async function readDay(day: number): Promise<DayFigures> {
    const [from, to] = [startOfDay(day), startOfDay(day + 1)];
    const rows = await store.read((tx) => figuresByStage(tx, { from, to }));
    const sum = (value: (row: (typeof rows)[number]) => number) =>
      rows.reduce((total, row) => total + value(row), 0);
    return {
      day,
      orders: sum(({ orders }) => orders),
      tiyin: sum(({ tiyin, stage }) => (stage === "cancelled" ? 0 : tiyin)),
      completed: sum(({ orders, stage }) => (stage === "completed" ? orders : 0)),
      cancelled: sum(({ orders, stage }) => (stage === "cancelled" ? orders : 0)),
    };
  }

  async function showDays(viewer: Viewer, query: URLSearchParams): Promise<Response> {
    const today = dayOf(viewer.now);
    const day = parseDay(query.get("day") ?? "") ?? today;
    const stage = STAGES.find((one) => one === query.get("stage")) ?? "";
    const limit = parseInteger(query.get("limit") ?? "", 1, MAX_LISTED) ?? 50;
    const [days, chosen, cards] = await Promise.all([
      Promise.all(Array.from({ length: DAYS }, (_, at) => readDay(today - DAYS + 1 + at))),
      readDay(day),
      store.read((tx) =>
        cardsOfDay(tx, {
          ...{ from: startOfDay(day), to: startOfDay(day + 1), stage, limit: limit + 1 },
        }),
      ),
    ]);
    const hasMore = cards.length > limit && limit < MAX_LISTED;
    return answer({
      ...{ title: viewer.words.days, path: "/board/days", viewer },
      content: daysView(
        { days, chosen, stage, cards: cards.slice(0, limit), limit, hasMore },
        viewer,
      ),
    });
  }

  async function showOrder(viewer: Viewer, text: string): Promise<Response> {
    const orderId = parseInteger(text);
    const [card] = orderId ? await store.read((tx) => cardById(tx, { orderId })) : [];
    if (card === undefined) return notFound(viewer);
    const events = await store.read((tx) => eventsOfOrder(tx, { orderId: card.id }));
    const last = events.findLast(({ fromStage }) => fromStage !== null);
    const canBeUndone = last !== undefined && canUndo(card, last, viewer.now);
    return answer({
      ...{ title: `№ ${card.id}`, path: `/board/orders/${card.id}`, viewer },
      content: orderView(card, events, canBeUndone, viewer),
    });
  }

  async function showFound(viewer: Viewer, text: string): Promise<Response> {
    const query = text.trim();
    const orderId = parseInteger(query.replace(/^№\s*|^#/, ""));
    const [byNumber] = orderId ? await store.read((tx) => cardById(tx, { orderId })) : [];
    const phoneNumber = parsePhoneNumber(query);
    const digits = query.replace(/\D/g, "");
    const byPhone =
      phoneNumber !== undefined
        ? await store.read((tx) => cardsOfPhone(tx, { phoneNumber, limit: MAX_CARDS }))
        : digits.length >= FEWEST_DIGITS
          ? await store.read((tx) =>
              cardsOfLastDigits(tx, { pattern: `%${digits}`, limit: MAX_CARDS }),
            )
          : [];
    const found = byNumber
      ? [byNumber, ...byPhone.filter(({ id }) => id !== byNumber.id)]
      : byPhone;
    const [only] = found;
    if (only !== undefined && found.length === 1) return seeOther(`/board/orders/${only.id}`);
    return answer({
      ...{ title: viewer.words.search, path: "/board/search", viewer, query },
      content: html`<h1>${userText(query) ?? viewer.words.search}</h1>
        ${tableView(found, viewer, true)}`,
    });
  }

  return { showBoard, showDays, showOrder, showFound };
}
