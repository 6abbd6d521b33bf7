import { clockTime, money } from "../lib/format.ts";
import { isRecent } from "../orders/change-stage.ts";
import { CANCEL_REASONS, type OrderEvent, type Stage } from "../store/schema.ts";
import type { Card } from "./board-queries.ts";
import { formatAge, dayAndTime, maskedPhone, spacedPhone } from "./format.ts";
import { html, type Html, userText } from "./html.ts";
import type { Viewer } from "./layout.ts";
import type { Translations } from "./translations.ts";

const AMBER_MS = 5 * 60_000;
const RED_MS = 15 * 60_000;

/** For how long a number that somebody wanted to see is shown to him. */
const PHONE_SHOWN_MS = 10 * 60_000;

export type OpenStage = "new" | "accepted" | "in_progress";

/** The step that comes next in each stage. */
const NEXT = { new: "accept", accepted: "start", in_progress: "complete" } as const;

export function isOpen(stage: Stage | null): stage is OpenStage {
  return stage === "new" || stage === "accepted" || stage === "in_progress";
}

/** An order as a card of the board. */
export function cardView(card: Card, stage: OpenStage, { words, now }: Viewer): Html {
  const paidAt = card.settledAt ?? now;
  return html`<li
    class="card ${stage} ${stage === "new" && urgencyOf(paidAt, now)}"
    id="order-${card.id}"
    data-order="${card.id}"
  >
    <div class="row">
      <a class="number" href="/board/orders/${card.id}">№ ${card.id}</a>
      <span class="tariff">${card.tariffTitle ?? card.tariffCode}</span>
      <time class="age">${formatAge(paidAt, now, words)}</time>
    </div>
    ${addressView(card, words)} ${card.comment && html`<p class="comment">${card.comment}</p>`}
    <div class="row customer">
      ${card.fullName && html`<span>${card.fullName}</span>`}
      <span class="phone">${phoneView(card, stage !== "new")}</span>
      <span class="money">${money(card.amountTiyin)} ${words.sum}</span>
    </div>
    ${stage !== "new" && html`<p class="by">${card.actor} · ${clockTime(card.stageAt ?? now)}</p>`}
    <div class="actions">
      ${stepForm(card.id, stage, NEXT[stage], words, "board", "primary")}
      ${cancelForm(card, stage, words, "board")}
    </div>
  </li>`;
}

/** An order paid in the future, while the clock was ahead, may have waited for long. */
function urgencyOf(paidAt: number, now: number): "" | "amber" | "red" {
  if (isRecent(paidAt, now, AMBER_MS)) return "";
  return isRecent(paidAt, now, RED_MS) ? "amber" : "red";
}

function addressView({ address }: Card, words: Translations): Html {
  return address
    ? html`<p class="address">${address}</p>`
    : html`<p class="no-address">${words.noAddress}</p>`;
}

function phoneView({ phoneNumber }: Card, isShown: boolean): Html {
  return isShown
    ? html`<a href="tel:${phoneNumber}">${spacedPhone(phoneNumber)}</a>`
    : html`${maskedPhone(phoneNumber)}`;
}

/** Where a form leads back to. */
type Back = "board" | "order";

function stepForm(
  orderId: number,
  seen: Stage,
  verb: "accept" | "start" | "complete" | "undo",
  words: Translations,
  back: Back,
  look: string,
): Html {
  return html`<form method="post" action="/board/orders/${orderId}/${verb}" class="step ${look}">
    <input type="hidden" name="seen" value="${seen}" /><input
      type="hidden"
      name="back"
      value="${back}"
    />
    <button class="${look}" aria-label="${words.verbs[verb]} № ${orderId}">
      ${words.verbs[verb]}
    </button>
  </form>`;
}

function cancelForm(
  { id, amountTiyin }: Card,
  seen: OpenStage,
  words: Translations,
  back: Back,
): Html {
  return html`<details class="cancel" id="cancel-${id}">
    <summary aria-label="${words.verbs.cancel} № ${id}">${words.verbs.cancel}</summary>
    <form method="post" action="/board/orders/${id}/cancel">
      <input type="hidden" name="seen" value="${seen}" /><input
        type="hidden"
        name="back"
        value="${back}"
      />
      <fieldset>
        <legend>${words.reason}</legend>
        ${CANCEL_REASONS.map(
          (reason, at) =>
            html`<label
              ><input
                type="radio"
                name="reason"
                value="${reason}"
                ${at === 0 ? html`checked` : ""}
              />${words.reasons[reason]}</label
            >`,
        )}
      </fieldset>
      <label class="field"
        >${words.note}<input name="note" dir="auto" maxlength="300" autocomplete="off"
      /></label>
      <label
        ><input type="checkbox" name="owed" value="yes" checked />${words.giveMoneyBack}:
        ${money(amountTiyin)} ${words.sum}</label
      >
      <button class="danger">${words.verbs.cancel} № ${id}</button>
    </form>
  </details>`;
}

/** Everything about an order, with its history. */
export function orderView(
  card: Card,
  events: readonly OrderEvent[],
  canBeUndone: boolean,
  viewer: Viewer,
): Html {
  const { words, now, name } = viewer;
  const { stage } = card;
  if (stage === null) return html`<p>${words.notFound}</p>`;
  const wasAskedFor = events.some(
    ({ kind, actor, at }) =>
      kind === "phone_shown" && actor === name && isRecent(at, now, PHONE_SHOWN_MS),
  );
  const isShown = wasAskedFor || stage === "accepted" || stage === "in_progress";
  return html`<div class="order">
    <a class="back" href="/board">‹ ${words.toBoard}</a>
    <h1>${words.order} № ${card.id} <span class="badge ${stage}">${words.stages[stage]}</span></h1>
    <dl class="panel">
      <div>
        <dt>${words.address}</dt>
        <dd class="large">${addressView(card, words)}</dd>
      </div>
      ${
        card.comment &&
        html`<div>
          <dt>${words.comment}</dt>
          <dd class="lines">${card.comment}</dd>
        </div>`
      }
      <div>
        <dt>${words.customer}</dt>
        <dd>
          ${card.fullName} <span class="phone">${phoneView(card, isShown)}</span> ${
            !isShown &&
            html`<form method="post" action="/board/orders/${card.id}/phone">
              <button class="quiet">${words.showPhone}</button>
            </form>`
          }
        </dd>
      </div>
      <div>
        <dt>${words.amount}</dt>
        <dd>${card.tariffTitle ?? card.tariffCode}, ${money(card.amountTiyin)} ${words.sum}</dd>
      </div>
      ${
        card.refund &&
        html`<div>
          <dt>${words.refundsOwed}</dt>
          <dd class="${card.refund}">${words.refunds[card.refund]}</dd>
        </div>`
      }
    </dl>
    <div class="actions">
      ${isOpen(stage) && stepForm(card.id, stage, NEXT[stage], words, "order", "primary")}
      ${stage === "accepted" && stepForm(card.id, stage, "complete", words, "order", "plain")}
      ${isOpen(stage) && cancelForm(card, stage, words, "order")}
      ${canBeUndone && stepForm(card.id, stage, "undo", words, "order", "plain")}
      ${card.refund === "owed" && refundForm(card, stage, words)}
    </div>
    <h2>${words.history}</h2>
    <ol class="history">
      <li><time>${dayAndTime(card.settledAt ?? now)}</time> ${words.paid}</li>
      ${events.map((event) => {
        const note = userText(event.note);
        return html`<li>
          <time>${dayAndTime(event.at)}</time>
          <span
            >${words.events[event.kind]}${event.reason && `: ${words.reasons[event.reason]}`}${note && html` · ${note}`}</span
          >
          <b>${userText(event.actor)}</b>
        </li>`;
      })}
    </ol>
  </div>`;
}

function refundForm({ id }: Card, seen: Stage, words: Translations): Html {
  return html`<form method="post" action="/board/orders/${id}/refund" class="refund">
    <input type="hidden" name="seen" value="${seen}" /><input
      type="hidden"
      name="back"
      value="order"
    />
    <label class="field"
      >${words.reference}<input
        name="reference"
        dir="auto"
        required
        maxlength="300"
        autocomplete="off"
    /></label>
    <button class="primary">${words.verbs.refund}</button>
  </form>`;
}

/** Orders as a table. */
export function tableView(cards: readonly Card[], { words, now }: Viewer, withDay: boolean): Html {
  if (cards.length === 0) return html`<p class="empty">${words.nothingFound}</p>`;
  return html`<div class="table">
    <table>
      <thead>
        <tr>
          <th scope="col">${words.order}</th>
          <th scope="col">${words.time}</th>
          <th scope="col">${words.stage}</th>
          <th scope="col">${words.customer}</th>
          <th scope="col">${words.address}</th>
          <th scope="col" class="money">${words.sum}</th>
        </tr>
      </thead>
      <tbody>
        ${cards.map(
          (card) =>
            html`<tr data-order="${card.id}">
              <td><a href="/board/orders/${card.id}">№ ${card.id}</a></td>
              <td>${(withDay ? dayAndTime : clockTime)(card.settledAt ?? now)}</td>
              <td>
                ${card.stage && html`<span class="badge ${card.stage}">${words.stages[card.stage]}</span>`}
              </td>
              <td>${card.fullName} <span class="phone">${maskedPhone(card.phoneNumber)}</span></td>
              <td>${card.address}</td>
              <td class="money">${money(card.amountTiyin)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** What has just been done, and the way back. */
export function noticeView(
  { orderId, kind, toStage, at }: OrderEvent,
  canBeUndone: boolean,
  { words, now }: Viewer,
): Html {
  return html`<div class="notice" role="status">
    <span>№ ${orderId}: ${words.events[kind]} · ${formatAge(at, now, words)}</span>
    ${canBeUndone && toStage && stepForm(orderId, toStage, "undo", words, "board", "plain")}
  </div>`;
}
