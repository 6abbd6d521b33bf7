import { money } from "../lib/format.ts";
import { type Card, MAX_COUNTED } from "./board-queries.ts";
import { cardView } from "./card-view.ts";
import { type Figures, figuresView } from "./days-view.ts";
import type { OpenStage } from "./forms.ts";
import { html, type Html } from "./html.ts";
import type { Viewer } from "./layout.ts";

/** Additional orders that "Show more" loads. */
const PAGE_SIZE = 100;

interface Column {
  readonly stage: OpenStage;
  readonly cards: readonly Card[];
  /** All orders of the stage, up to `MAX_COUNTED`. */
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
    ${notice}
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
