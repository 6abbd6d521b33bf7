import { type Log, reasonOf } from "../log.ts";
import type { ChargeOutcome, Clock, PaymentGateway } from "../ports.ts";
import type { Store } from "../store/store.ts";
import { withTimeout } from "../with-timeout.ts";
import {
  type DueOrder,
  type Order,
  orderById,
  settleDeclined,
  settlePaid,
} from "./order-queries.ts";
import { NOTIFY_TIMEOUT_MS, nextAttemptAt } from "./retry-schedule.ts";

/** An order that is in doubt for longer is worth a warning: somebody has to call the provider. */
const LONG_IN_DOUBT_MS = 3_600_000;

export interface ChargeDependencies {
  readonly store: Store;
  readonly payment: PaymentGateway;
  readonly log: Log;
  readonly now: Clock;
  readonly config: { readonly paymentTimeoutMs: number };
  /** Hears of each order that has just been paid. */
  readonly onPaid: (orderId: number) => void;
  /** When it aborts, whatever the provider has not answered by then is in doubt. */
  readonly cutoff: AbortSignal;
}

/**
 * Asks the provider for the order's money and records the answer, which is on disk when this resolves.
 * In doubt nothing is recorded, also where the answer can't be: the order stays pending, and is due
 * already. Never rejects.
 */
export type ChargeOrder = (order: DueOrder) => Promise<ChargeOutcome | "in doubt">;

/** What the provider has said of an order. */
interface Answer {
  readonly orderId: number;
  readonly outcome: ChargeOutcome;
}

export function createChargeOrder(dependencies: ChargeDependencies): ChargeOrder {
  const { store, payment, log, now, config, onPaid, cutoff } = dependencies;

  async function chargeOrder(order: DueOrder): Promise<ChargeOutcome | "in doubt"> {
    const { orderId } = order;
    const outcome = await ask(order);
    if (outcome === "in doubt") return outcome;
    try {
      const recorded = await record({ orderId, outcome });
      // Two attempts may race; a correct provider answers both alike.
      if (recorded !== outcome) throw new Error(`it is ${recorded}, and now said to be ${outcome}`);
    } catch (error) {
      log.error(`Can't record that order ${orderId} is ${outcome}.`, error);
      return "in doubt";
    }
    if (outcome === "paid") onPaid(orderId);
    return outcome;
  }

  function ask(order: DueOrder): Promise<ChargeOutcome | "in doubt"> {
    const { orderId, paymentKey, amountTiyin, payer } = order;
    const charge = { orderId, paymentKey, amountTiyin, payer };
    return withTimeout(
      config.paymentTimeoutMs,
      (options) => payment.charge(charge, options),
      cutoff,
    ).then(
      (outcome: unknown) =>
        outcome === "paid" || outcome === "declined"
          ? outcome
          : inDoubt(order, new Error("the provider's answer is none that we know")),
      (error) => inDoubt(order, error),
    );
  }

  function inDoubt({ orderId, createdAt }: DueOrder, error: unknown): "in doubt" {
    const message = `The payment of order ${orderId} is in doubt`;
    if (now() - createdAt >= LONG_IN_DOUBT_MS) log.warn(`${message}.`, error);
    else log.info(`${message}: ${reasonOf(error)}`);
    return "in doubt";
  }

  const record = store.batch(async (tx, answers: readonly Answer[]) => {
    const settledAt = now();
    // By then the dispatcher, who is notified at once, has heard, or that has failed.
    const dueAt = nextAttemptAt(settledAt, NOTIFY_TIMEOUT_MS, 1);
    const [paid, declined] = [idsOf(answers, "paid"), idsOf(answers, "declined")];
    const settled = new Map<number, Order["status"]>();
    if (paid.length > 0) {
      const rows = await settlePaid(tx, { settledAt, dueAt, orderIds: JSON.stringify(paid) });
      for (const { orderId } of rows) settled.set(orderId, "paid");
    }
    if (declined.length > 0) {
      const rows = await settleDeclined(tx, { settledAt, orderIds: JSON.stringify(declined) });
      for (const { orderId } of rows) settled.set(orderId, "declined");
    }
    const recorded: (Order["status"] | undefined)[] = [];
    for (const { orderId } of answers) {
      recorded.push(settled.get(orderId) ?? (await orderById(tx, { orderId }))[0]?.status);
    }
    return recorded;
  });

  return chargeOrder;
}

function idsOf(answers: readonly Answer[], outcome: ChargeOutcome): number[] {
  return answers.filter((answer) => answer.outcome === outcome).map(({ orderId }) => orderId);
}
