import { clockTime, dayAndTime, isoDay, maskedPhone, money, shortDay } from "../lib/format.ts";
import { STAGES } from "../store/schema.ts";
import type { Card } from "./board-queries.ts";
import { html, type Html } from "./html.ts";
import type { Viewer } from "./layout.ts";

/** Totals of one day. */
export interface Figures {
  readonly orders: number;
  readonly cancelled: number;
  readonly completed: number;
  readonly tiyin: number;
}

export interface DayFigures extends Figures {
  readonly day: number;
}

const BAR_WIDTH = 60;
const BAR_GAP = 10;
const BAR_HEIGHT = 140;
const LABEL_HEIGHT = 22;

/** Renders today's figures beside those of a week ago. */
function trendView(today: Figures, weekAgo: Figures, { texts, language }: Viewer): Html {
  const compact = new Intl.NumberFormat(language, { notation: "compact" });
  const change = new Intl.NumberFormat(language, { style: "percent", signDisplay: "exceptZero" });
  const { orders } = weekAgo;
  return html`<p class="trend">
    <b>${texts.today}: ${today.orders} ${texts.orders(today.orders)}</b>
    <b>${compact.format(today.tiyin / 100)} ${texts.sum}</b>
    <span
      >${texts.weekAgo}
      ${orders}${orders > 0 && ` (${change.format(today.orders / orders - 1)})`}</span
    >
  </p>`;
}

/** Renders the days as bars: orders, cancelled ones dark, and the revenue. */
function chartView({ days, chosen, weekAgo }: DaysOptions, viewer: Viewer): Html {
  const { texts, language } = viewer;
  const today = days.at(-1);
  const compact = new Intl.NumberFormat(language, { notation: "compact" });
  const most = Math.max(1, ...days.map(({ orders }) => orders));
  const width = days.length * (BAR_WIDTH + BAR_GAP);
  const height = BAR_HEIGHT + 3 * LABEL_HEIGHT;
  const bottom = LABEL_HEIGHT + BAR_HEIGHT;
  return html`<figure class="panel chart">
    ${today && trendView(today, weekAgo, viewer)}
    <figcaption>
      ${texts.fourteenDays}:
      <span class="legend all">${texts.allOrders}</span>
      <span class="legend">${texts.cancelledOrders}</span>
      <span>${texts.revenueBelow}</span>
    </figcaption>
    <div class="scroll">
      <svg viewBox="0 0 ${width} ${height}" role="group" aria-label="${texts.fourteenDays}">
        ${days.map(({ day, orders, cancelled, tiyin }, at) => {
          const x = at * (BAR_WIDTH + BAR_GAP) + BAR_GAP / 2;
          const middle = x + BAR_WIDTH / 2;
          const full = (BAR_HEIGHT * orders) / most;
          const dark = (BAR_HEIGHT * cancelled) / most;
          return html`<a
            href="/board/days?day=${isoDay(day)}"
            class="${day === chosen.day ? "chosen" : ""}"
            aria-label="${shortDay(day)}: ${orders} ${texts.orders(orders)}, ${money(tiyin)} ${texts.sum}"
          >
            <rect class="hit" x="${x}" y="0" width="${BAR_WIDTH}" height="${height}" />
            <rect
              class="bar"
              x="${x}"
              y="${bottom - full}"
              width="${BAR_WIDTH}"
              height="${full}"
              rx="3"
            />
            <rect
              class="cancelled"
              x="${x}"
              y="${bottom - dark}"
              width="${BAR_WIDTH}"
              height="${dark}"
              rx="3"
            />
            <text class="count" x="${middle}" y="${bottom - full - 6}"
              >${orders > 0 ? orders : ""}</text
            >
            <text x="${middle}" y="${bottom + 18}">${shortDay(day)}</text>
            <text x="${middle}" y="${bottom + 18 + LABEL_HEIGHT}"
              >${tiyin > 0 && compact.format(tiyin / 100)}</text
            >
          </a>`;
        })}
      </svg>
    </div>
  </figure>`;
}

/** Maximum number of a day's orders per page. */
export const MAX_LISTED = 500;

interface DaysOptions {
  readonly days: readonly DayFigures[];
  /** The figures of a week ago, up to the same time of day. */
  readonly weekAgo: Figures;
  readonly chosen: DayFigures;
  readonly stage: string;
  readonly cards: readonly Card[];
  readonly limit: number;
  readonly hasMore: boolean;
}

/** Renders the chart of the days, and the table of one of them. */
export function daysView(options: DaysOptions, viewer: Viewer): Html {
  const { chosen, stage, cards, limit, hasMore } = options;
  const { texts } = viewer;
  return html`<h1 class="visually-hidden">${texts.days}</h1>
    ${chartView(options, viewer)}
    <form class="filter" id="filter" action="/board/days" autocomplete="off">
      <label>${texts.day} <input type="date" name="day" value="${isoDay(chosen.day)}" /></label>
      <label
        >${texts.stage}
        <select name="stage">
          <option value="">${texts.all}</option>
          ${STAGES.map((one) => html`<option value="${one}" ${one === stage ? html`selected` : ""}>${texts.stages[one]}</option>`)}
        </select></label
      >
      <button class="plain">${texts.show}</button>
    </form>
    ${figuresView(chosen, viewer)} ${tableView(cards, viewer, false)}
    ${
      hasMore &&
      html`<p class="more">
        ${texts.shown(cards.length, `${cards.length}+`)}
        ${
          limit < MAX_LISTED &&
          html`<a
            class="plain"
            data-in-place
            href="/board/days?day=${isoDay(chosen.day)}&stage=${stage}&limit=${limit + 50}"
            >${texts.more}</a
          >`
        }
      </p>`
    }`;
}

/** Renders the totals of a day in one line. */
export function figuresView(
  { orders, tiyin, completed, cancelled }: Figures,
  { texts }: Viewer,
): Html {
  return html`<p class="figures">
    <span><b>${orders}</b> ${texts.orders(orders)}</span>
    <span><b>${money(tiyin)}</b> ${texts.sum}</span>
    <span>${texts.totals.completed} <b>${completed}</b></span>
    <span>${texts.totals.cancelled} <b>${cancelled}</b></span>
  </p>`;
}

/** Renders orders as a table: one card per row on a phone. */
export function tableView(cards: readonly Card[], { texts, now }: Viewer, withDay: boolean): Html {
  if (cards.length === 0) return html`<p class="empty">${texts.nothingFound}</p>`;
  return html`<div class="table">
    <table>
      <thead>
        <tr>
          <th scope="col">${texts.order}</th>
          <th scope="col">${texts.time}</th>
          <th scope="col">${texts.stage}</th>
          <th scope="col">${texts.customer}</th>
          <th scope="col">${texts.address}</th>
          <th scope="col" class="money">${texts.sum}</th>
        </tr>
      </thead>
      <tbody>
        ${cards.map(
          (card) =>
            html`<tr data-order="${card.id}">
              <td><a class="number" href="/board/orders/${card.id}">№ ${card.id}</a></td>
              <td class="time">${(withDay ? dayAndTime : clockTime)(card.settledAt ?? now)}</td>
              <td>
                ${card.stage && html`<span class="badge ${card.stage}">${texts.stages[card.stage]}</span>`}
              </td>
              <td class="wide">
                ${card.fullName} <span class="phone">${maskedPhone(card.phoneNumber)}</span>
              </td>
              <td class="wide">${card.address}</td>
              <td class="money">${money(card.amountTiyin)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
