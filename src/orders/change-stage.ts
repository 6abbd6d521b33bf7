import type { Needs } from "../dependencies.ts";
import {
  type CancelReason,
  OPEN_STAGES,
  type Order,
  type OrderEvent,
  type Stage,
} from "../store/schema.ts";
import type { Tx } from "../store/store.ts";
import { isRecent } from "../lib/is-recent.ts";
import { markRefunded, insertEvent, lastTransition, setStage } from "./event-queries.ts";
import { orderById } from "./order-queries.ts";

/** How long a dispatcher can undo a transition. */
const UNDO_MS = 10 * 60_000;

/** The same transition by the same person within this time is a double tap, or a retry. */
const DOUBLE_TAP_MS = 60_000;

/** Allowed transitions. */
const TRANSITIONS = {
  accept: { from: ["new"], to: "accepted" },
  start: { from: ["accepted"], to: "in_progress" },
  complete: { from: ["accepted", "in_progress"], to: "completed" },
  cancel: { from: OPEN_STAGES, to: "cancelled" },
} as const satisfies Record<string, { from: readonly Stage[]; to: Stage }>;

/** A dispatcher's change to an order. */
export type StageChange =
  | { readonly verb: "accept" | "start" | "complete" | "undo" }
  | {
      readonly verb: "cancel";
      readonly reason: CancelReason;
      readonly note: string | null;
      /** Whether the customer is owed a refund. */
      readonly isMoneyOwed: boolean;
    }
  /** `reference` is the provider's id of the refund, which was made there manually. */
  | { readonly verb: "refund"; readonly reference: string };

export interface StageChangeRequest {
  readonly orderId: number;
  readonly actor: string;
  /** The stage that the dispatcher saw. */
  readonly seen: Stage;
  /**
   * When the order entered that stage: it may have left the stage and entered it again since.
   * Undefined: not checked.
   */
  readonly seenAt?: number | undefined;
  readonly change: StageChange;
}

type StageChangeOutcome =
  /** The change is on disk, perhaps from an earlier tap by the same person. */
  | { readonly kind: "done" }
  /** Another change came first; `last` is the latest. Nothing was written. */
  | { readonly kind: "stage_changed"; readonly last: OrderEvent | undefined }
  /** The order's state does not allow the change. Nothing was written. */
  | { readonly kind: "no_such_transition" }
  /** The order does not exist or is not paid. */
  | { readonly kind: "order_not_found" };

/** Changes an order and records the event, atomically. */
export type ChangeStage = (request: StageChangeRequest) => Promise<StageChangeOutcome>;

export function createChangeStage({
  store,
  webhook,
  now,
}: Needs<"store" | "webhook" | "now">): ChangeStage {
  async function changeStage(tx: Tx, request: StageChangeRequest): Promise<StageChangeOutcome> {
    const { orderId, actor, seen, seenAt, change } = request;
    const at = now();
    const [order] = await orderById(tx, { orderId });
    if (order === undefined || order.stage === null || order.stageAt === null) {
      return { kind: "order_not_found" };
    }
    const { stageAt } = order;
    const [last] = await lastTransition(tx, { orderId });
    const changed = { kind: "stage_changed" as const, last };
    const isDoubleTap =
      last?.actor === actor &&
      last.kind === change.verb &&
      last.fromStage === seen &&
      isRecent(last.at, at, DOUBLE_TAP_MS);
    // A corrected repeat must not report success: the first input was saved.
    if (isDoubleTap) return hasSameInput(change, last, order) ? { kind: "done" } : changed;
    if (order.stage !== seen || stageAt !== (seenAt ?? stageAt)) return changed;
    const next = nextOf(order, seen, change, last, at);
    if (next === undefined) return { kind: "no_such_transition" };
    // Later than the last one, even if the clock was set back: receivers of webhooks ignore events
    // with an older time.
    const enteredAt = Math.max(at, stageAt + 1);
    const moved =
      change.verb === "refund"
        ? await markRefunded(tx, { orderId, fromAt: stageAt })
        : await setStage(tx, { orderId, at: enteredAt, from: seen, fromAt: stageAt, ...next });
    // On PostgreSQL, another instance may have changed the order since it was read.
    if (moved.length === 0) return changed;
    await insertEvent(tx, {
      orderId,
      at,
      actor,
      kind: change.verb,
      fromStage: seen,
      toStage: next.to,
      reason: next.reason,
      note:
        change.verb === "cancel" ? change.note : change.verb === "refund" ? change.reference : null,
      dueAt: webhook && at,
    });
    return { kind: "done" };
  }

  return (request) => store.run((tx) => changeStage(tx, request));
}

/** Returns whether the last transition recorded the same reason, note, refund and reference. */
function hasSameInput(change: StageChange, last: OrderEvent, { refund }: Order): boolean {
  switch (change.verb) {
    case "cancel":
      return (
        last.reason === change.reason &&
        last.note === change.note &&
        (refund !== null) === change.isMoneyOwed
      );
    case "refund":
      return last.note === change.reference;
    default:
      return true;
  }
}

/** Returns whether the last transition can be undone now. */
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

/** Returns the order's state after the change; undefined if the change is not allowed. */
function nextOf(
  order: Order,
  seen: Stage,
  change: StageChange,
  last: OrderEvent | undefined,
  now: number,
): { to: Stage; refund: Order["refund"]; reason: CancelReason | null } | undefined {
  if (change.verb === "refund") {
    return order.refund === "owed" ? { to: seen, refund: "given", reason: null } : undefined;
  }
  if (change.verb === "undo") {
    const isAllowed = last && canUndo(order, last, now);
    return isAllowed ? { to: last.fromStage, refund: null, reason: null } : undefined;
  }
  const { from, to } = TRANSITIONS[change.verb];
  if (!from.some((stage) => stage === seen)) return undefined;
  if (change.verb !== "cancel") return { to, refund: null, reason: null };
  return { to, refund: change.isMoneyOwed ? "owed" : null, reason: change.reason };
}
