import { parseInteger } from "../http/schemas.ts";
import { dayOf, parseDay, startOfDay } from "../lib/format.ts";
import { eventsOfOrder, lastTransition } from "../orders/event-queries.ts";
import { isRecent } from "../lib/is-recent.ts";
import { canUndo } from "../orders/change-stage.ts";
import { OPEN_STAGES, type Stage, STAGES } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { parsePhoneNumber } from "../users/phone-number.ts";
import { answer, notFound, seeOther } from "./responses.ts";
import {
  type Card,
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
import { type DayFigures, daysView, MAX_LISTED, tableView } from "./days-view.ts";
import { boardView } from "./board-view.ts";
import { html, userText } from "./html.ts";
import { noticeView, orderView } from "./order-view.ts";
import type { Viewer } from "./layout.ts";

const DAYS = 14;
const WEEK_MS = 7 * 24 * 60 * 60_000;
/** Default number of orders in a column, and the number in search results. */
const MAX_CARDS = 100;
const MAX_REFUNDS = 10;

/** Minimum length of a search by last digits. */
const MIN_DIGITS = 4;

/** How long the confirmation of a step is shown. The order's page offers undo for longer. */
const NOTICE_MS = 60_000;

/**
 * Puts the order of the last step first, if it is in this stage: it is the next to be worked on.
 */
function moveToTop(moved: Card | undefined, stage: Stage, cards: readonly Card[]) {
  if (moved?.stage !== stage || stage === "new") return cards;
  return [moved, ...cards.filter(({ id }) => id !== moved.id)];
}

/** Creates the pages of the board. They only read, so they never block an order. */
export function createPages(store: Store) {
  async function showBoard(viewer: Viewer, query: URLSearchParams): Promise<Response> {
    const { texts } = viewer;
    const limit = parseInteger(query.get("limit") ?? "", 1, MAX_COUNTED) ?? MAX_CARDS;
    const current = OPEN_STAGES.find((stage) => stage === query.get("stage")) ?? "new";
    const today = dayOf(viewer.now);
    const [columns, open, figures, owed, notice] = await Promise.all([
      Promise.all(
        OPEN_STAGES.map((stage) => store.read((tx) => cardsOfStage(tx, { stage, limit }))),
      ),
      store.read((tx) => countOpen(tx)),
      readDay(today),
      store.read((tx) => refundsOwed(tx, { limit: MAX_REFUNDS + 1 })),
      readNotice(query, viewer),
    ]);
    const counts = open[0] ?? { new: 0, accepted: 0, in_progress: 0 };
    return answer({
      title: texts.board,
      path: "/board",
      viewer,
      newOrders: counts.new,
      content: boardView(
        OPEN_STAGES.map((stage, at) => {
          const cards = moveToTop(notice?.card, stage, columns[at] ?? []);
          // Read in separate transactions: an order may have arrived in between.
          const count = Math.max(counts[stage], cards.length);
          return { stage, cards, count, isCurrent: stage === current };
        }),
        {
          limit,
          figures,
          notice: notice?.view,
          owed: owed.slice(0, MAX_REFUNDS),
          hasMoreOwed: owed.length > MAX_REFUNDS,
        },
        viewer,
      ),
    });
  }

  /** Renders the confirmation of the step that redirected the browser here. */
  async function readNotice(query: URLSearchParams, viewer: Viewer) {
    const orderId = parseInteger(query.get("done") ?? "");
    if (orderId === undefined) return undefined;
    const [last] = await store.read((tx) => lastTransition(tx, { orderId }));
    const [card] = await store.read((tx) => cardById(tx, { orderId }));
    if (last === undefined || card === undefined || last.actor !== viewer.name) return undefined;
    if (!isRecent(last.at, viewer.now, NOTICE_MS)) return undefined;
    return { card, view: noticeView(card, last, canUndo(card, last, viewer.now), viewer) };
  }

  /** Reads the figures of a day, or of its part before `to`. */
  async function readDay(day: number, to = startOfDay(day + 1)): Promise<DayFigures> {
    const from = startOfDay(day);
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
    const [days, weekAgo, chosen, cards] = await Promise.all([
      Promise.all(Array.from({ length: DAYS }, (_, at) => readDay(today - DAYS + 1 + at))),
      readDay(today - 7, viewer.now - WEEK_MS),
      readDay(day),
      store.read((tx) =>
        cardsOfDay(tx, {
          from: startOfDay(day),
          to: startOfDay(day + 1),
          stage,
          limit: limit + 1,
        }),
      ),
    ]);
    const hasMore = cards.length > limit;
    return answer({
      title: viewer.texts.days,
      path: "/board/days",
      viewer,
      content: daysView(
        { days, weekAgo, chosen, stage, cards: cards.slice(0, limit), limit, hasMore },
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
      title: `№ ${card.id}`,
      path: `/board/orders/${card.id}`,
      viewer,
      content: orderView(card, events, canBeUndone, viewer),
    });
  }

  async function showFound(viewer: Viewer, text: string | null): Promise<Response> {
    const query = text?.trim() ?? "";
    const orderId = parseInteger(query.replace(/^№\s*|^#/, ""));
    const [byNumber] = orderId ? await store.read((tx) => cardById(tx, { orderId })) : [];
    const phoneNumber = parsePhoneNumber(query);
    const digits = query.replace(/\D/g, "");
    const byPhone =
      phoneNumber !== undefined
        ? await store.read((tx) => cardsOfPhone(tx, { phoneNumber, limit: MAX_CARDS }))
        : digits.length >= MIN_DIGITS
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
      title: viewer.texts.find,
      path: "/board/search",
      viewer,
      query,
      content: html`<h1>${userText(query) ?? viewer.texts.find}</h1>
        ${text !== null && tableView(found, viewer, true)}
        ${byPhone.length === MAX_CARDS && html`<p class="more">${viewer.texts.shown(MAX_CARDS, `${MAX_CARDS}+`)}</p>`}`,
    });
  }

  return { showBoard, showDays, showOrder, showFound };
}
