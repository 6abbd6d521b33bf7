import type { Needs } from "../dependencies.ts";
import { isError } from "../errors.ts";
import { type Log, reasonOf } from "../log.ts";
import type { ChargeOutcome, Clock } from "../ports.ts";
import type { Order } from "../store/schema.ts";
import type { Tx } from "../store/store.ts";
import { withTimeout } from "../lib/with-timeout.ts";
import type { Notification } from "./notify-dispatcher.ts";
import { insertEvent } from "./event-queries.ts";
import { type Attempt, orderById, settleDeclined, settlePaid } from "./order-queries.ts";
import { leaseEndsAt, NOTIFY_TIMEOUT_MS } from "./retry-schedule.ts";
import type { Rescheduled } from "./worker.ts";

/** Failed charges of orders this old are logged as warnings: the owner should call the provider. */
const LONG_IN_DOUBT_MS = 3_600_000;

interface ChargeDependencies extends Needs<
  "store" | "payment" | "webhook" | "metrics" | "now",
  "paymentTimeoutMs"
> {
  /** Starts the first notification of a paid order, which settling has leased. */
  readonly notify: (notification: Notification) => void;
  /** Aborts unanswered charges: their payments are in doubt. */
  readonly cutoff: AbortSignal;
}

/** The provider's answer, which is on disk, or pending if the payment is in doubt. */
export type Outcome = { readonly status: ChargeOutcome } | Rescheduled;

/**
 * Charges the order and records the provider's answer. Resolves once the answer is on disk. Rejects
 * if the payment is in doubt or the answer could not be recorded; the order then stays pending.
 */
export type ChargeOrder = (order: Attempt) => Promise<{ readonly status: ChargeOutcome }>;

/** The provider's answer could not be recorded. The message gives the reason and is logged. */
class NotRecorded extends Error {
  override readonly name = "NotRecorded";
}

/** A provider's answer to record. */
interface Answer {
  readonly orderId: number;
  readonly status: ChargeOutcome;
  /** Whether an earlier attempt left the payment in doubt. */
  readonly wasInDoubt: boolean;
}

/**
 * The order's current status. If this call marked the order as paid, also the lease of its first
 * notification.
 */
interface Recorded {
  readonly status: Order["status"] | undefined;
  readonly isNew: boolean;
  readonly notification: Pick<Notification, "tariffTitle" | "paidAt" | "dueAt"> | undefined;
}

export function createChargeOrder(dependencies: ChargeDependencies): ChargeOrder {
  const { store, payment, webhook, metrics, now, config, notify, cutoff } = dependencies;

  // A single async function: each one costs 0.5 µs per order.
  async function chargeOrder(order: Attempt): Promise<{ readonly status: ChargeOutcome }> {
    const { orderId, amountTiyin } = order;
    const status: unknown = await ask(order);
    if (status !== "paid" && status !== "declined") {
      throw new Error("unknown answer from the payment provider");
    }
    const wasInDoubt = order.attempt > 1;
    const record = webhook !== null && wasInDoubt ? recordWithEvent : recordTogether;
    let recorded: Recorded;
    try {
      recorded = await record({ orderId, status, wasInDoubt });
    } catch (cause) {
      throw new NotRecorded(`Could not record that order ${orderId} is ${status}.`, { cause });
    }
    // Two attempts may race; a correct provider gives both the same answer.
    if (recorded.status !== status) {
      throw new NotRecorded(
        `Order ${orderId} is ${recorded.status}, but the provider says ${status}.`,
      );
    }
    // The attempt that recorded the outcome also counts it and sends the notification.
    if (recorded.isNew) metrics.countOrder(status);
    if (recorded.notification) {
      notify({ ...recorded.notification, orderId, amountTiyin, attempt: 1 });
    }
    return { status };
  }

  function ask({ orderId, paymentKey, amountTiyin, payer, dueAt }: Attempt): Promise<unknown> {
    const leftMs = dueAt - now();
    if (leftMs <= 0) throw new Error("lease expired before the charge started");
    const charge = { orderId, paymentKey, amountTiyin, payer };
    return withTimeout(
      Math.min(config.paymentTimeoutMs, leftMs),
      (options) => payment.charge(charge, options),
      cutoff,
    );
  }

  const recordTogether = store.batch(recordAll);

  /** Uses a separate transaction: batched statements commit independently on PostgreSQL. */
  function recordWithEvent(answer: Answer): Promise<Recorded> {
    return store.run(async (tx) => {
      const [recorded] = await recordAll(tx, [answer]);
      if (recorded === undefined) throw new Error("recordAll returned no result");
      return recorded;
    });
  }

  async function recordAll(tx: Tx, answers: readonly Answer[]): Promise<Recorded[]> {
    const settledAt = now();
    // Settling leases the first notification, so that no worker sends it too.
    const dueAt = leaseEndsAt(settledAt, NOTIFY_TIMEOUT_MS);
    const [paid, declined] = [idsOf(answers, "paid"), idsOf(answers, "declined")];
    const titles = new Map<number, string>();
    const settled = new Set<number>();
    if (paid !== undefined) {
      for (const row of await settlePaid(tx, { settledAt, dueAt, orderIds: paid })) {
        titles.set(row.orderId, row.tariffTitle);
        settled.add(row.orderId);
      }
    }
    if (declined !== undefined) {
      const rows = await settleDeclined(tx, { settledAt, orderIds: declined });
      for (const { orderId } of rows) settled.add(orderId);
    }
    const results: Recorded[] = [];
    for (const answer of answers) {
      const { orderId } = answer;
      const isNew = settled.has(orderId);
      const status = isNew ? answer.status : (await orderById(tx, { orderId }))[0]?.status;
      if (isNew && answer.wasInDoubt && webhook !== null) {
        await insertEvent(tx, settledEvent(answer, settledAt));
      }
      const tariffTitle = titles.get(orderId);
      const notification =
        tariffTitle === undefined ? undefined : { tariffTitle, paidAt: settledAt, dueAt };
      results.push({ status, isNew, notification });
    }
    return results;
  }

  return chargeOrder;
}

/**
 * Returns a function that logs failed charges. Logs an error if the answer was not recorded, a
 * warning if the order is over an hour old, else an info line.
 */
export function logFailedCharge(log: Log, now: Clock) {
  return ({ orderId, createdAt }: Attempt, error: unknown) => {
    if (isError(error, NotRecorded)) return log.error(error.message, error.cause);
    const message = `The payment of order ${orderId} is in doubt`;
    if (now() - createdAt >= LONG_IN_DOUBT_MS) log.warn(`${message}.`, error);
    else log.info(`${message}: ${reasonOf(error)}`);
  };
}

function settledEvent({ orderId, status }: Answer, at: number) {
  return {
    orderId,
    at,
    actor: "",
    kind: "settled",
    fromStage: null,
    toStage: status === "paid" ? "new" : null,
    reason: null,
    note: null,
    dueAt: at,
  };
}

/** Returns the ids of orders with this answer as a JSON array; undefined if it would be empty. */
function idsOf(answers: readonly Answer[], status: ChargeOutcome): string | undefined {
  const ids = answers.filter((answer) => answer.status === status).map(({ orderId }) => orderId);
  return ids.length === 0 ? undefined : JSON.stringify(ids);
}
