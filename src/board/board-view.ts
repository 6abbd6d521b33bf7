import {
  clockTime,
  dayAndTime,
  maskedPhone,
  money,
  spacedPhone,
  withoutBidiControls,
} from "../lib/format.ts";
import { isRecent } from "../lib/is-recent.ts";
import type { OpenStage } from "../store/schema.ts";
import { type Card, MAX_COUNTED } from "./board-queries.ts";
import { type Figures, figuresView } from "./days-view.ts";
import { cancelOnCard, cancelTemplate, NEXT, stepForm } from "./forms.ts";
import { html, type Html, PHONE, PIN } from "./html.ts";
import type { Viewer } from "./layout.ts";
import type { Translations } from "./translations.ts";

const MINUTE_MS = 60_000;
const MAP_URL = "https://yandex.com/maps/?text=";

/** When an order in a stage turns amber and red, in minutes since it entered the stage. */
const LIMITS = {
  new: { amber: 5, red: 15 },
  accepted: { amber: 15, red: 30 },
  in_progress: { amber: 120, red: 240 },
} as const satisfies Record<OpenStage, { amber: number; red: number }>;

/** Additional orders that "Show more" loads. */
const PAGE_SIZE = 100;

interface Column {
  readonly stage: OpenStage;
  readonly cards: readonly Card[];
  /** Number of orders in the stage, up to `MAX_COUNTED`. */
  readonly count: number;
  /** Whether a phone shows this column. */
  readonly isCurrent: boolean;
}

interface BoardDetails {
  /** Maximum number of cards per column. */
  readonly limit: number;
  readonly figures: Figures;
  readonly owed: readonly { readonly id: number; readonly amountTiyin: number }[];
  /** Whether there are more refunds than in `owed`. */
  readonly hasMoreOwed: boolean;
  readonly notice: Html | undefined;
}

/** Renders the open orders: three columns, or tabs on a phone. */
export function boardView(
  columns: readonly Column[],
  { limit, figures, owed, hasMoreOwed, notice }: BoardDetails,
  viewer: Viewer,
): Html {
  const { texts } = viewer;
  return html`<div class="board">
    <h1 class="visually-hidden">${texts.board}</h1>
    <nav class="tabs" aria-label="${texts.stage}">
      ${columns.map(
        ({ stage, count, isCurrent }) =>
          html`<a
            class="tab ${stage}"
            href="/board?stage=${stage}"
            data-stage="${stage}"
            ${isCurrent && html`aria-current="true"`}
            ><b>${countText(count)}</b> ${texts.columns[stage]}</a
          >`,
      )}
      ${owed.length > 0 && html`<a class="tab owed" href="#summary"><b>${owed.length}${hasMoreOwed && "+"}</b> ${texts.refundsOwed}</a>`}
    </nav>
    <div class="columns">${columns.map((column) => columnView(column, limit, viewer))}</div>
    <section class="summary" id="summary">
      <b>${texts.today}</b> ${figuresView(figures, viewer)}
      ${
        owed.length > 0 &&
        html`<p class="owed">
          ${texts.refundsOwed}:
          ${owed.map(({ id, amountTiyin }) => html`<a href="/board/orders/${id}">№ ${id} · ${money(amountTiyin)}</a> `)}${hasMoreOwed && "…"}
        </p>`
      }
    </section>
    ${
      // Always present: screen readers announce only changes inside an existing region.
      html`<div id="notice" role="status">${notice}</div>`
    }
    ${cancelTemplate(viewer)}
  </div>`;
}

function columnView({ stage, cards, count, isCurrent }: Column, limit: number, viewer: Viewer) {
  const { texts } = viewer;
  const hidden = count - cards.length;
  return html`<section
    class="column ${stage}"
    data-stage="${stage}"
    ${isCurrent && html`aria-current="true"`}
  >
    <h2>${texts.columns[stage]} <span class="count">${countText(count)}</span></h2>
    <ul id="list-${stage}" data-hidden="${hidden}">
      ${cards.map((card) => cardView(card, stage, viewer))}
    </ul>
    ${count === 0 && html`<p class="empty">${texts.empty[stage]}</p>`}
    ${
      hidden > 0 &&
      html`<p class="more">
        ${texts.shown(cards.length, countText(count))}
        <a
          class="plain"
          href="/board?stage=${stage}&limit=${Math.min(limit + PAGE_SIZE, MAX_COUNTED)}"
          data-in-place
          >${texts.more}</a
        >
      </p>`
    }
  </section>`;
}

function countText(count: number): string {
  return count < MAX_COUNTED ? String(count) : `${MAX_COUNTED}+`;
}

/** Renders an order as a card of the board. */
function cardView(card: Card, stage: OpenStage, viewer: Viewer): Html {
  const { texts, now } = viewer;
  const since = card.stageAt ?? now;
  const isShown = stage !== "new";
  return html`<li
    class="card ${stage} ${urgencyOf(since, now, stage)}"
    id="order-${card.id}"
    data-order="${card.id}"
  >
    <div class="row">
      <a class="number" href="/board/orders/${card.id}">№ ${card.id}</a>
      <span class="tariff">${card.tariffTitle ?? card.tariffCode}</span>
      <time class="age">${formatAge(since, now, texts)}</time>
    </div>
    ${addressView(card, texts)} ${card.comment && html`<p class="comment">${card.comment}</p>`}
    <div class="row customer">
      ${card.fullName && html`<span>${card.fullName}</span>`}
      <span class="phone">${phoneView(card, isShown)}</span>
      <span class="money">${money(card.amountTiyin)} ${texts.sum}</span>
    </div>
    ${isShown && html`<p class="by">${card.actor} · ${clockTime(since)}</p>`}
    <div class="actions" id="actions-${card.id}">
      ${stepForm(card.id, { stage, at: card.stageAt }, NEXT[stage], viewer, "primary")}
      ${isShown && callButton(card, texts)} ${cancelOnCard(card, viewer)}
    </div>
  </li>`;
}

/**
 * Returns the class of a waiting order. An instant in the future (the clock was ahead) counts as
 * late.
 */
export function urgencyOf(since: number, now: number, stage: OpenStage): "" | "amber" | "red" {
  const { amber, red } = LIMITS[stage];
  if (isRecent(since, now, amber * MINUTE_MS)) return "";
  return isRecent(since, now, red * MINUTE_MS) ? "amber" : "red";
}

/**
 * Formats an age as `just now`, `7 min`, `2 h` or `3 d`; an instant in the future as day and time.
 */
export function formatAge(at: number, now: number, texts: Translations): string {
  if (!isRecent(at, now, Number.POSITIVE_INFINITY)) return dayAndTime(at);
  const minutes = Math.max(0, Math.floor((now - at) / MINUTE_MS));
  if (minutes < 1) return texts.justNow;
  if (minutes < 60) return `${minutes}\u00a0${texts.minutes}`;
  const hours = Math.floor(minutes / 60);
  return hours < 48
    ? `${hours}\u00a0${texts.hours}`
    : `${Math.floor(hours / 24)}\u00a0${texts.daysAgo}`;
}

/** Renders the address as a link to a map, or a hint to ask for it. */
export function addressView({ address, rawAddress }: Card, texts: Translations): Html {
  if (!address) return html`<p class="no-address">${texts.noAddress}</p>`;
  // `encodeURIComponent` throws on lone surrogates, which SQLite may contain.
  const query = encodeURIComponent(withoutBidiControls(rawAddress ?? "").toWellFormed());
  return html`<p class="address">
    <a href="${MAP_URL}${query}" target="_blank" rel="noopener noreferrer">${PIN}${address}</a>
  </p>`;
}

/** Renders the number, complete or masked. */
export function phoneView({ phoneNumber }: Card, isShown: boolean): string {
  return isShown ? spacedPhone(phoneNumber) : maskedPhone(phoneNumber);
}

/** Renders the link that calls the customer. */
export function callButton({ phoneNumber, id }: Card, texts: Translations): Html {
  return html`<a
    class="plain call"
    href="tel:${phoneNumber}"
    aria-label="${texts.call} № ${id}"
    title="${texts.call}"
    >${PHONE}${texts.call}</a
  >`;
}
