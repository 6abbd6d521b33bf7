import { dayAndTime, money } from "../lib/format.ts";
import { isRecent } from "../lib/is-recent.ts";
import type { OrderEvent } from "../store/schema.ts";
import type { Card } from "./board-queries.ts";
import { addressView, callButton, formatAge, phoneView, urgencyOf } from "./board-view.ts";
import { cancelForm, isOpen, NEXT, refundForm, stepForm, viewerField } from "./forms.ts";
import { CLOSE, html, type Html, userText } from "./html.ts";
import type { Viewer } from "./layout.ts";
import { withDone } from "./request.ts";

/** How long a requested phone number stays visible. */
const PHONE_SHOWN_MS = 10 * 60_000;

/** Renders the page of an order, with its history. */
export function orderView(
  card: Card,
  events: readonly OrderEvent[],
  canBeUndone: boolean,
  viewer: Viewer,
): Html {
  const { texts, now, name } = viewer;
  const { stage } = card;
  if (stage === null) return html`<p>${texts.notFound}</p>`;
  const wasRequested = events.some(
    ({ kind, actor, at }) =>
      kind === "phone_shown" && actor === name && isRecent(at, now, PHONE_SHOWN_MS),
  );
  const isShown = wasRequested || stage === "accepted" || stage === "in_progress";
  const since = card.stageAt ?? now;
  const seen = { stage, at: card.stageAt };
  return html`<div class="order" id="order">
    <a class="back" href="/board${isOpen(stage) && stage !== "new" && `?stage=${stage}`}"
      >‹ ${texts.toBoard}</a
    >
    <h1 class="${isOpen(stage) && urgencyOf(since, now, stage)}">
      ${texts.order} № ${card.id} <span class="badge ${stage}">${texts.stages[stage]}</span>
      ${isOpen(stage) && html`<time class="age">${formatAge(since, now, texts)}</time>`}
    </h1>
    <dl class="panel">
      <div>
        <dt>${texts.address}</dt>
        <dd class="large">${addressView(card, texts)}</dd>
      </div>
      ${
        card.comment &&
        html`<div>
          <dt>${texts.comment}</dt>
          <dd class="lines">${card.comment}</dd>
        </div>`
      }
      <div>
        <dt>${texts.customer}</dt>
        <dd class="contact">
          ${card.fullName} <span class="phone">${phoneView(card, isShown)}</span> ${
            !isShown &&
            html`<form method="post" action="/board/orders/${card.id}/phone">
              ${viewerField(viewer)}<button class="plain">${texts.showPhone}</button>
            </form>`
          }
        </dd>
      </div>
      <div>
        <dt>${texts.amount}</dt>
        <dd>${card.tariffTitle ?? card.tariffCode}, ${money(card.amountTiyin)} ${texts.sum}</dd>
      </div>
      ${
        card.refund &&
        html`<div>
          <dt>${texts.refund}</dt>
          <dd class="${card.refund}">${texts.refunds[card.refund]}</dd>
        </div>`
      }
    </dl>
    ${card.refund === "owed" && refundForm(card, stage, viewer)}
    <div class="actions action-bar" id="actions">
      ${isOpen(stage) && stepForm(card.id, seen, NEXT[stage], viewer, "primary")}
      ${isShown && callButton(card, texts)}
      ${stage === "accepted" && stepForm(card.id, seen, "complete", viewer, "plain")}
      ${isOpen(stage) && cancelForm(card, stage, viewer)}
      ${canBeUndone && stepForm(card.id, seen, "undo", viewer, "plain")}
    </div>
    <h2>${texts.history}</h2>
    <ol class="history">
      <li><time>${dayAndTime(card.settledAt ?? now)}</time> ${texts.paid}</li>
      ${events.map((event) => {
        const note = userText(event.note);
        return html`<li>
          <time>${dayAndTime(event.at)}</time>
          <span
            >${texts.events[event.kind]}${event.reason && `: ${texts.reasons[event.reason]}`}${note && html` · ${note}`}</span
          >
          <b>${userText(event.actor)}</b>
        </li>`;
      })}
    </ol>
  </div>`;
}

/** Renders the confirmation of a step, with the call that usually follows, and undo. */
export function noticeView(
  card: Card,
  { orderId, kind, toStage, at }: OrderEvent,
  canBeUndone: boolean,
  viewer: Viewer,
): Html {
  const { texts, now, here } = viewer;
  return html`<div class="notice">
    <span>№ ${orderId}: ${texts.events[kind]} · ${formatAge(at, now, texts)}</span>
    ${card.stage === "accepted" && callButton(card, texts)}
    ${canBeUndone && toStage && stepForm(orderId, { stage: toStage, at }, "undo", viewer, "plain")}
    <a
      class="plain dismiss"
      href="${withDone(here, undefined)}"
      data-in-place
      aria-label="${texts.dismiss}"
      >${CLOSE}</a
    >
  </div>`;
}
