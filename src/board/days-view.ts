import { money } from "../lib/format.ts";
import { STAGES } from "../store/schema.ts";
import type { Card } from "./board-queries.ts";
import { isoDay, shortDay } from "./format.ts";
import { html, type Html } from "./html.ts";
import { tableView } from "./order-view.ts";
import type { Viewer } from "./layout.ts";

/** What one day or one stage of it comes to. */
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

/** The days as bars: orders, the cancelled of them dark, and money in thousands. */
export function chartView(days: readonly DayFigures[], chosen: number, viewer: Viewer): Html {
  const { words } = viewer;
  const most = Math.max(1, ...days.map(({ orders }) => orders));
  const width = days.length * (BAR_WIDTH + BAR_GAP);
  const height = BAR_HEIGHT + 3 * LABEL_HEIGHT;
  const bottom = LABEL_HEIGHT + BAR_HEIGHT;
  return html`<figure class="panel chart">
    <figcaption>${words.fourteenDays}: ${words.ordersAndCancelled}</figcaption>
    <div class="scroll">
      <svg viewBox="0 0 ${width} ${height}" role="group" aria-label="${words.fourteenDays}">
        ${days.map(({ day, orders, cancelled, tiyin }, at) => {
          const x = at * (BAR_WIDTH + BAR_GAP) + BAR_GAP / 2;
          const middle = x + BAR_WIDTH / 2;
          const full = (BAR_HEIGHT * orders) / most;
          const dark = (BAR_HEIGHT * cancelled) / most;
          return html`<a
            href="/board/days?day=${isoDay(day)}"
            class="${day === chosen ? "chosen" : ""}"
            aria-label="${shortDay(day)}: ${orders} ${words.orders(orders)}, ${money(tiyin)} ${words.sum}"
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
            <text x="${middle}" y="${bottom + 18 + LABEL_HEIGHT}">${thousands(tiyin)}</text>
          </a>`;
        })}
      </svg>
    </div>
  </figure>`;
}

/** `1234k` for the narrow label of a bar; the bar's own label is exact. */
function thousands(tiyin: number): string {
  if (tiyin === 0) return "";
  return tiyin < 100_000 ? "<1k" : `${Math.round(tiyin / 100_000)}k`;
}

export interface DaysOptions {
  readonly days: readonly DayFigures[];
  readonly chosen: DayFigures;
  readonly stage: string;
  readonly cards: readonly Card[];
  readonly limit: number;
  readonly hasMore: boolean;
}

/** The chart of the days, and one of them as a table. */
export function daysView(options: DaysOptions, viewer: Viewer): Html {
  const { days, chosen, stage, cards, limit, hasMore } = options;
  const { words } = viewer;
  return html`<h1 class="visually-hidden">${words.days}</h1>
    ${chartView(days, chosen.day, viewer)}
    <form class="filter" action="/board/days">
      <label>${words.day} <input type="date" name="day" value="${isoDay(chosen.day)}" /></label>
      <label
        >${words.stage}
        <select name="stage">
          <option value="">${words.all}</option>
          ${STAGES.map((one) => html`<option value="${one}" ${one === stage ? html`selected` : ""}>${words.stages[one]}</option>`)}
        </select></label
      >
      <button class="plain">${words.show}</button>
    </form>
    ${figuresView(chosen, viewer)} ${tableView(cards, viewer, false)}
    ${
      hasMore &&
      html`<a
        class="more"
        href="/board/days?day=${isoDay(chosen.day)}&stage=${stage}&limit=${limit + 50}"
        >${words.more}</a
      >`
    }`;
}

/** What a day comes to, in one line. */
export function figuresView(
  { orders, tiyin, completed, cancelled }: Figures,
  { words }: Viewer,
): Html {
  return html`<p class="figures">
    <span><b>${orders}</b> ${words.orders(orders)}</span>
    <span><b>${money(tiyin)}</b> ${words.sum}</span>
    <span>${words.stages.completed} <b>${completed}</b></span>
    <span>${words.stages.cancelled} <b>${cancelled}</b></span>
  </p>`;
}
