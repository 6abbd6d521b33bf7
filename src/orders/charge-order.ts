import { type Log, reasonOf } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { ChargeOutcome, Clock, PaidOrder, PaymentGateway, WebhookSender } from "../ports.ts";
import type { Store, Tx } from "../store/store.ts";
import type { Order } from "../store/schema.ts";
import { withTimeout } from "../with-timeout.ts";
import { type Attempt, orderById, settleDeclined, settlePaid } from "./order-queries.ts";
import { insertEvent } from "./order-event-queries.ts";
import type { GiveBackLease, Lease } from "./give-back-lease.ts";
import { leaseEndsAt, NOTIFY_TIMEOUT_MS } from "./retry-schedule.ts";

/** An order that is in doubt for longer is worth a warning: somebody has to call the provider. */
const LONG_IN_DOUBT_MS = 3_600_000;

export interface ChargeDependencies {
  readonly store: Store;
  readonly payment: PaymentGateway;
  readonly webhook: WebhookSender | null;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: Clock;
  readonly config: { readonly paymentTimeoutMs: number };
  readonly giveBackLease: GiveBackLease;
  /** Hears of each order that has just been paid, with the lease of the first notification. */
  readonly onPaid: (lease: Lease & PaidOrder) => void;
  /** When it aborts, whatever the provider has not answered by then is in doubt. */
  readonly cutoff: AbortSignal;
}

/** Pending: the payment is in doubt, and the provider is asked again at `dueAt`, in ms. */
export type Outcome =
  { readonly status: ChargeOutcome } | { readonly status: "pending"; readonly dueAt: number };

/**
 * Charges the order and records the provider's answer, which is on disk when this resolves. In doubt, the
 * order is rescheduled; if the answer can't be recorded, the order is due when its lease ends. Never rejects.
 */
export type ChargeOrder = (order: Attempt) => Promise<Outcome>;

/** What the provider has said of an order. */
interface Answer {
  readonly orderId: number;
  readonly outcome: ChargeOutcome;
  /** Whether its customer was told that the payment is in doubt. */
  readonly wasInDoubt: boolean;
}

/** What stands in the store now. */
interface Recorded {
  readonly status: Order["status"] | undefined;
  /** Whether this attempt has recorded it. */
  readonly here: boolean;
  /** What was ordered, and when it was settled, if this attempt has recorded that it is paid. */
  readonly tariffTitle: string;
  readonly settledAt: number;
  /** Until when nobody else notifies the dispatcher of it, if this attempt has recorded that it is paid. */
  readonly notifyBy: number;
}

export function createChargeOrder(dependencies: ChargeDependencies): ChargeOrder {
  const { store, payment, webhook, log, metrics, now, config, giveBackLease, onPaid, cutoff } =
    dependencies;

  async function chargeOrder(order: Attempt): Promise<Outcome> {
    const { orderId, dueAt } = order;
    let outcome: unknown;
    try {
      outcome = await ask(order);
      if (outcome !== "paid" && outcome !== "declined") {
        throw new Error("unknown answer from the payment provider");
      }
    } catch (error) {
      logInDoubt(order, error);
      return { status: "pending", dueAt: await giveBackLease({ ...order, status: "pending" }) };
    }
    try {
      const recorded = await record({ orderId, outcome, wasInDoubt: order.attempt > 1 });
      // Two attempts may race; a correct provider answers both alike.
      if (recorded.status !== outcome) {
        throw new Error(`it is ${recorded.status}, and now said to be ${outcome}`);
      }
      // Where another attempt has recorded it, that one has it notified of as well.
      if (!recorded.here) return { status: outcome };
      metrics.countOrder(outcome);
      if (outcome === "paid") {
        const { amountTiyin } = order;
        const { tariffTitle, settledAt: paidAt, notifyBy } = recorded;
        const paid = { orderId, amountTiyin, tariffTitle, paidAt };
        onPaid({ ...paid, status: "paid", attempt: 1, dueAt: notifyBy });
      }
      return { status: outcome };
    } catch (error) {
      log.error(`Can't record that order ${orderId} is ${outcome}.`, error);
      return { status: "pending", dueAt };
    }
  }

  function ask({ orderId, paymentKey, amountTiyin, payer, dueAt }: Attempt) {
    const leftMs = dueAt - now();
    if (leftMs <= 0) throw new Error("lease expired before the charge started");
    const charge = { orderId, paymentKey, amountTiyin, payer };
    return withTimeout(
      Math.min(config.paymentTimeoutMs, leftMs),
      (options) => payment.charge(charge, options),
      cutoff,
    );
  }

  function logInDoubt({ orderId, createdAt }: Attempt, error: unknown) {
    const message = `The payment of order ${orderId} is in doubt`;
    if (now() - createdAt >= LONG_IN_DOUBT_MS) log.warn(`${message}.`, error);
    else log.info(`${message}: ${reasonOf(error)}`);
  }

  const recordTogether = store.batch(recordAll);

  function record(answer: Answer): Promise<Recorded> {
    if (webhook === null || !answer.wasInDoubt) return recordTogether(answer);
    // With its event it is a step of its own: the statements of a batch may be kept one without the other.
    return store.run(async (tx) => {
      const [recorded] = await recordAll(tx, [answer]);
      if (recorded === undefined) throw new Error("an answer has not been recorded");
      return recorded;
    });
  }

  async function recordAll(tx: Tx, answers: readonly Answer[]): Promise<Recorded[]> {
    const settledAt = now();
    // The dispatcher is notified at once: nobody else is to do that meanwhile.
    const dueAt = leaseEndsAt(settledAt, NOTIFY_TIMEOUT_MS);
    const [paid, declined] = [idsOf(answers, "paid"), idsOf(answers, "declined")];
    const settled = new Map<number, ChargeOutcome>();
    const titles = new Map<number, string>();
    if (paid.length > 0) {
      const rows = await settlePaid(tx, { settledAt, dueAt, orderIds: JSON.stringify(paid) });
      for (const { orderId, tariffTitle } of rows) {
        settled.set(orderId, "paid");
        titles.set(orderId, tariffTitle);
      }
    }
    if (declined.length > 0) {
      const rows = await settleDeclined(tx, { settledAt, orderIds: JSON.stringify(declined) });
      for (const { orderId } of rows) settled.set(orderId, "declined");
    }
    const recorded: Recorded[] = [];
    for (const { orderId, wasInDoubt } of answers) {
      const here = settled.get(orderId);
      const status = here ?? (await orderById(tx, { orderId }))[0]?.status;
      if (here !== undefined && wasInDoubt && webhook !== null) {
        await insertEvent(tx, {
          ...{ orderId, at: settledAt, actor: "", kind: "settled", fromStage: null },
          ...{
            toStage: here === "paid" ? "new" : null,
            reason: null,
            note: null,
            dueAt: settledAt,
          },
        });
      }
      const tariffTitle = titles.get(orderId) ?? "";
      recorded.push({ status, here: here !== undefined, tariffTitle, settledAt, notifyBy: dueAt });
    }
    return recorded;
  }

  return chargeOrder;
}

function idsOf(answers: readonly Answer[], outcome: ChargeOutcome): number[] {
  return answers.filter((answer) => answer.outcome === outcome).map(({ orderId }) => orderId);
}
