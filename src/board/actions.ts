import { Value } from "@sinclair/typebox/value";
import type { Needs } from "../dependencies.ts";
import { clockTime } from "../lib/format.ts";
import { Lines, parseInteger } from "../http/schemas.ts";
import type { ChangeStage, StageChange } from "../orders/change-stage.ts";
import { insertEvent } from "../orders/event-queries.ts";
import { CANCEL_REASONS, type OrderEvent, STAGES } from "../store/schema.ts";
import { cardById } from "./board-queries.ts";
import { userText } from "./html.ts";
import type { Viewer } from "./layout.ts";
import { ownPage, withDone } from "./request.ts";
import { MAX_NOTE, message, notFound, type Refusals, seeOther } from "./responses.ts";
import { DEFAULT_NAME } from "./sessions.ts";

const NOTE = Lines(1, MAX_NOTE);

interface ActionsDependencies extends Needs<"store" | "now"> {
  readonly changeStage: ChangeStage;
  readonly refusals: Refusals;
}

/** Handles the dispatchers' forms on an order: changing its stage, showing the phone number. */
export function createActions({ store, changeStage, refusals, now }: ActionsDependencies) {
  async function changeOrder(
    request: Request,
    viewer: Viewer,
    form: URLSearchParams,
    params: Params,
  ): Promise<Response> {
    const orderId = parseInteger(params.order_id);
    const seen = STAGES.find((stage) => stage === form.get("seen"));
    const seenAt = parseInteger(form.get("seen_at") ?? "");
    const wanted = readChange(params.verb, form);
    if (orderId === undefined) return notFound(viewer);
    if (wanted === "invalid_text") return refusals.refuse(request, wanted, 422);
    if (seen === undefined || wanted === undefined) return refuse(viewer, orderId);
    const outcome = await changeStage({
      orderId,
      actor: viewer.name,
      seen,
      seenAt,
      change: wanted,
    });
    switch (outcome.kind) {
      case "done":
        return seeOther(pageAfterStep(form.get("back"), orderId));
      case "order_not_found":
        return notFound(viewer);
      case "no_such_transition":
        return refuse(viewer, orderId);
      case "stage_changed":
        return conflict(viewer, orderId, outcome.last);
    }
  }

  async function showPhone(viewer: Viewer, text: string): Promise<Response> {
    const orderId = parseInteger(text);
    const [card] = orderId ? await store.read((tx) => cardById(tx, { orderId })) : [];
    if (card === undefined) return notFound(viewer);
    await store.run((tx) =>
      insertEvent(tx, {
        orderId: card.id,
        at: now(),
        actor: viewer.name,
        kind: "phone_shown",
        fromStage: null,
        toStage: null,
        reason: null,
        note: null,
        dueAt: null,
      }),
    );
    return seeOther(`/board/orders/${card.id}`);
  }

  return { changeOrder, showPhone };
}

type Params = { readonly order_id: string; readonly verb: string };

/** Reads the requested change; undefined if the board has no such form. */
function readChange(verb: string, form: URLSearchParams): StageChange | "invalid_text" | undefined {
  switch (verb) {
    case "accept":
    case "start":
    case "complete":
    case "undo":
      return { verb };
    case "cancel": {
      const reason = CANCEL_REASONS.find((one) => one === form.get("reason"));
      const note = form.get("note")?.trim() || null;
      if (reason === undefined) return undefined;
      if (note !== null && !Value.Check(NOTE, note)) return "invalid_text";
      return { verb, reason, note, isMoneyOwed: form.has("owed") };
    }
    case "refund": {
      const reference = form.get("reference")?.trim();
      return Value.Check(NOTE, reference) ? { verb, reference } : "invalid_text";
    }
    default:
      return undefined;
  }
}

/** Returns the page that the form was on; the board confirms the step. */
function pageAfterStep(back: string | null, orderId: number): string {
  const page = ownPage(back);
  return page.startsWith("/board/") ? page : withDone(page, orderId);
}

function refuse(viewer: Viewer, orderId: number): Response {
  return message(viewer, {
    status: 422,
    code: "no_such_transition",
    title: `№ ${orderId}`,
    text: viewer.texts.noSuchStep,
    orderId,
  });
}

function conflict(viewer: Viewer, orderId: number, last: OrderEvent | undefined): Response {
  const { texts } = viewer;
  const what = last ? texts.events[last.kind] : texts.paid;
  const who = userText(last?.actor ?? DEFAULT_NAME);
  return message(viewer, {
    status: 409,
    code: "stage_changed",
    title: `№ ${orderId}: ${texts.changedTitle}`,
    text: texts.changed(what, who, clockTime(last?.at ?? viewer.now)),
    orderId,
  });
}
