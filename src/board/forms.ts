import { money } from "../lib/format.ts";
import { CANCEL_REASONS, OPEN_STAGES, type OpenStage, type Stage } from "../store/schema.ts";
import type { Card } from "./board-queries.ts";
import { html, type Html } from "./html.ts";
import type { Viewer } from "./layout.ts";
import { MAX_NOTE } from "./responses.ts";

/** The next step after each open stage. */
export const NEXT = { new: "accept", accepted: "start", in_progress: "complete" } as const;

/** Returns whether an order in this stage is still open. */
export function isOpen(stage: Stage | null): stage is OpenStage {
  return OPEN_STAGES.some((open) => open === stage);
}

/** The stage that the dispatcher saw, and when the order entered it. */
interface Seen {
  readonly stage: string;
  readonly at: number | string | null;
}

/** Says whose page the form is on: another dispatcher may have signed in since, in another tab. */
export function viewerField({ name }: Viewer): Html {
  return html`<input type="hidden" name="viewer" value="${name}" />`;
}

/** Renders the viewer, the stage that they saw, and the page to return to. */
function contextFields(seen: Seen, viewer: Viewer): Html {
  const { here } = viewer;
  return html`${viewerField(viewer)}<input type="hidden" name="seen" value="${seen.stage}" /><input
      type="hidden"
      name="seen_at"
      value="${seen.at}"
    /><input type="hidden" name="back" value="${here}" />`;
}

/** Renders the form of one step; `look` is the class of its button. */
export function stepForm(
  orderId: number,
  seen: Seen,
  verb: "accept" | "start" | "complete" | "undo",
  viewer: Viewer,
  look: "primary" | "plain",
): Html {
  const label = viewer.texts.verbs[verb];
  return html`<form method="post" action="/board/orders/${orderId}/${verb}" class="step ${look}">
    ${contextFields(seen, viewer)}
    <button class="${look}" aria-label="${label} № ${orderId}">${label}</button>
  </form>`;
}

/** Renders the cancel form: a bottom sheet on a phone. Tapping the summary closes the form. */
export function cancelForm(card: Card, stage: OpenStage, viewer: Viewer): Html {
  const seen = { stage, at: card.stageAt };
  const amount = `${money(card.amountTiyin)} ${viewer.texts.sum}`;
  return cancelDetails(card.id, viewer, cancelFields(card.id, seen, amount, viewer));
}

/**
 * Renders the cancel form of a card, whose content the script makes from the template when it
 * opens. Without scripts it leads to the form on the order's page.
 */
export function cancelOnCard({ id }: Card, viewer: Viewer): Html {
  const link = html`<a class="plain" href="/board/orders/${id}">${viewer.texts.order} № ${id}</a>`;
  return cancelDetails(id, viewer, link);
}

/** Renders the template of the cancel forms: complete ones would be two thirds of the page. */
export function cancelTemplate(viewer: Viewer): Html {
  const seen = { stage: "{seen}", at: "{seen_at}" };
  const form = cancelFields("{id}", seen, "{amount}", viewer);
  return html`<template id="cancel-form">${form}</template>`;
}

function cancelDetails(id: number, { texts }: Viewer, content: Html): Html {
  return html`<details class="cancel" id="cancel-${id}">
    <summary>
      <span class="opener">${texts.verbs.cancel}<span class="visually-hidden"> № ${id}</span></span
      ><span class="closer">${texts.keepOrder}</span>
    </summary>
    ${content}
  </details>`;
}

function cancelFields(id: number | string, seen: Seen, amount: string, viewer: Viewer): Html {
  const { texts } = viewer;
  return html`<form method="post" action="/board/orders/${id}/cancel">
    ${contextFields(seen, viewer)}
    <fieldset>
      <legend>№ ${id}. ${texts.reason}</legend>
      ${CANCEL_REASONS.map(
        (reason) =>
          html`<label
            ><input
              type="radio"
              name="reason"
              value="${reason}"
              required
            />${texts.reasons[reason]}</label
          >`,
      )}
    </fieldset>
    <label class="field"
      >${texts.note}<input name="note" dir="auto" maxlength="${MAX_NOTE}" autocomplete="off"
    /></label>
    <label
      ><input type="checkbox" name="owed" value="yes" checked />${texts.giveMoneyBack}:
      ${amount}</label
    >
    <button class="danger">${texts.cancelOrder}</button>
  </form>`;
}

/** Renders the panel that records a refund. */
export function refundForm({ id, amountTiyin, stageAt }: Card, stage: Stage, viewer: Viewer): Html {
  const { texts } = viewer;
  const seen = { stage, at: stageAt };
  return html`<section class="panel refund" id="refund-panel">
    <h2>${texts.refund}: ${money(amountTiyin)} ${texts.sum}</h2>
    <p>${texts.refundHint}</p>
    <form method="post" action="/board/orders/${id}/refund" id="refund-${id}">
      ${contextFields(seen, viewer)}
      <label class="field"
        >${texts.reference}<input
          name="reference"
          dir="auto"
          required
          maxlength="${MAX_NOTE}"
          autocomplete="off"
      /></label>
      <button class="primary">${texts.verbs.refund}</button>
    </form>
  </section>`;
}
