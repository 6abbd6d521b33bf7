import type { Clock, WebhookSender } from "../ports.ts";
import type { CancelReason, Order, OrderEvent, Stage } from "../store/schema.ts";
import type { Store, Tx } from "../store/store.ts";
import { giveRefund, insertEvent, lastStep, moveOrder } from "./event-queries.ts";
import { orderById } from "./order-queries.ts";

/** A step can be taken back for so long. */
export const UNDO_MS = 10 * 60_000;

/** The same step of the same person within this is one tap too many. */
const DOUBLE_TAP_MS = 60_000;

/** The clocks of two copies differ by less: each reads the database server's, within its time limit. */
const CLOCK_SKEW_MS = 5000;

/**
 * Whether `at` was less than `windowMs` before `now`. An instant in the future is not recent: it was
 * recorded while the clock was ahead, and would stay recent for too long.
 */
export function isRecent(at: number, now: number, windowMs: number): boolean {
  const ageMs = now - at;
  return ageMs >= -CLOCK_SKEW_MS && ageMs < windowMs;
}

/** What leads on from which stages. */
const STEPS = {
  accept: { from: ["new"], to: "accepted" },
  start: { from: ["accepted"], to: "in_progress" },
  complete: { from: ["accepted", "in_progress"], to: "completed" },
  cancel: { from: ["new", "accepted", "in_progress"], to: "cancelled" },
} as const satisfies Record<string, { from: readonly Stage[]; to: Stage }>;

export type Verb = StageChange["verb"];

/** What a dispatcher does with an order. */
export type StageChange =
  | { readonly verb: "accept" | "start" | "complete" | "undo" }
  | {
      readonly verb: "cancel";
      readonly reason: CancelReason;
      readonly note: string | null;
      /** Whether the money is to be given back. */
      readonly isMoneyOwed: boolean;
    }
  /** `reference` is the provider's name for the money that was given back there, by hand. */
  | { readonly verb: "refund"; readonly reference: string };

export interface StageChangeRequest {
  readonly orderId: number;
  readonly actor: string;
  /** The stage in which the dispatcher has seen the order. */
  readonly seen: Stage;
  readonly work: StageChange;
}

export type StageChangeOutcome =
  /** It is done and on disk, or was by the same person a moment ago. */
  | { readonly kind: "done" }
  /** Somebody else was first; `last` is what was done. Nothing has changed. */
  | { readonly kind: "stage_changed"; readonly stage: Stage; readonly last: OrderEvent | undefined }
  /** There is no such step from there. Nothing has changed. */
  | { readonly kind: "no_such_step" }
  /** There is no such order, or it is not paid. */
  | { readonly kind: "order_not_found" };

/** Works an order: one step and the event that says so, or neither. */
export type ChangeStage = (request: StageChangeRequest) => Promise<StageChangeOutcome>;

export interface ChangeStageDependencies {
  readonly store: Store;
  /** Who hears of it. */
  readonly webhook: WebhookSender | null;
  readonly now: Clock;
}

export function createChangeStage({ store, webhook, now }: ChangeStageDependencies): ChangeStage {
  async function changeStage(tx: Tx, request: StageChangeRequest): Promise<StageChangeOutcome> {
    const { orderId, actor, seen, work } = request;
    const at = now();
    const [order] = await orderById(tx, { orderId });
    if (order === undefined || order.stage === null) return { kind: "order_not_found" };
    const [last] = await lastStep(tx, { orderId });
    const isDoubleTap =
      last?.actor === actor &&
      last.kind === work.verb &&
      last.fromStage === seen &&
      isRecent(last.at, at, DOUBLE_TAP_MS);
    if (isDoubleTap) return { kind: "done" };
    const changed = { kind: "stage_changed" as const, stage: order.stage, last };
    if (order.stage !== seen) return changed;
    const next = nextOf(order, seen, work, last, at);
    if (next === undefined) return { kind: "no_such_step" };
    const moved =
      work.verb === "refund"
        ? await giveRefund(tx, { orderId })
        : await moveOrder(tx, { orderId, at, from: seen, ...next });
    // On PostgreSQL another copy may have been first since the order was read.
    if (moved.length === 0) return changed;
    await insertEvent(tx, {
      ...{ orderId, at, actor, kind: work.verb, fromStage: seen, toStage: next.to },
      reason: work.verb === "cancel" ? work.reason : null,
      note: work.verb === "cancel" ? work.note : work.verb === "refund" ? work.reference : null,
      dueAt: webhook && at,
    });
    return { kind: "done" };
  }

  return (request) => store.run((tx) => changeStage(tx, request));
}

/** Whether the last step can be taken back now. */
export function canUndo(
  order: Pick<Order, "refund">,
  last: OrderEvent,
  now: number,
): last is OrderEvent & { readonly fromStage: Stage } {
  return (
    last.fromStage !== null &&
    last.kind !== "undo" &&
    order.refund !== "given" &&
    isRecent(last.at, now, UNDO_MS)
  );
}

/** How the order stands after the step; undefined where there is none. */
function nextOf(
  order: Order,
  seen: Stage,
  work: StageChange,
  last: OrderEvent | undefined,
  now: number,
): { to: Stage; refund: Order["refund"]; reason: CancelReason | null } | undefined {
  switch (work.verb) {
    case "accept":
    case "start":
    case "complete": {
      const { from, to } = STEPS[work.verb];
      const isStep = from.some((stage) => stage === seen);
      return isStep ? { to, refund: null, reason: null } : undefined;
    }
    case "cancel": {
      const isStep = STEPS.cancel.from.some((stage) => stage === seen);
      const refund = work.isMoneyOwed ? "owed" : null;
      return isStep ? { to: STEPS.cancel.to, refund, reason: work.reason } : undefined;
    }
    case "undo":
      return last && canUndo(order, last, now)
        ? { to: last.fromStage, refund: null, reason: null }
        : undefined;
    case "refund":
      return order.refund === "owed" ? { to: seen, refund: "given", reason: null } : undefined;
  }
}
