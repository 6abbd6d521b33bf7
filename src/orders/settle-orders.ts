import { createDeadline, type Deadline } from "../deadline.ts";
import { createLanes } from "../lanes.ts";
import { reasonOf } from "../log.ts";
import type { ChargeOutcome, PaymentGateway } from "../ports.ts";
import type { Settings } from "../settings.ts";
import { type Announcer, NOTIFY_TIMEOUT_MS } from "./announce-orders.ts";
import { createDuty, type Duty, type DutyParts, LANES, pauseMs } from "./due-orders.ts";
import {
  areAll,
  type DueOrder,
  type Order,
  orderById,
  settleAsDeclined,
  settleAsPaid,
} from "./order-records.ts";

/** From this age on an order in doubt is worth a warning: somebody has to call the provider. */
const OLD_MS = 3_600_000;

export interface SettleParts extends DutyParts {
  readonly payment: PaymentGateway;
  readonly announcer: Announcer;
  readonly settings: Pick<Settings, "paymentTimeoutMs">;
}

export interface Settler extends Duty {
  /**
   * Asks the provider for the order's money and records the answer, which is on disk when this
   * resolves. In doubt nothing is recorded, also where the answer can't be: the order stays pending,
   * and is due already. Never rejects.
   */
  settle(order: DueOrder): Promise<ChargeOutcome | "in doubt">;
  /** From now on no question to the provider lasts beyond this instant, in ms. */
  endBy(instant: number): void;
}

/** What the provider has said of an order. */
interface Answer {
  readonly orderId: number;
  readonly outcome: ChargeOutcome;
}

/** Sees to it that the provider is asked about every pending order until it has answered. */
export function createSettler(parts: SettleParts): Settler {
  const { store, payment, announcer, log, now } = parts;
  const { paymentTimeoutMs } = parts.settings;
  const usual = createDeadline(paymentTimeoutMs);
  let endsAt: number | undefined;

  function inTime(): Deadline {
    if (endsAt === undefined) return usual;
    return createDeadline(Math.max(0, Math.min(paymentTimeoutMs, endsAt - now())));
  }

  async function settle(order: DueOrder): Promise<ChargeOutcome | "in doubt"> {
    const { orderId } = order;
    const outcome = await ask(order);
    if (outcome === "in doubt") return outcome;
    try {
      const recorded = await record({ orderId, outcome });
      // Two askers may have met; a provider that keeps its promise has told both the same.
      if (recorded !== outcome) throw new Error(`it is ${recorded}, and now said to be ${outcome}`);
    } catch (fault) {
      log.error(`Can't record that order ${orderId} is ${outcome}.`, fault);
      return "in doubt";
    }
    if (outcome === "paid") announcer.announce(orderId);
    return outcome;
  }

  const record = store.grouped(async (tx, answers: readonly Answer[]) => {
    const settledAt = now();
    // By then the announcement that is made at once has been heard, or has failed.
    const dueAt = settledAt + NOTIFY_TIMEOUT_MS + pauseMs(1);
    const [paid, declined] = [idsOf(answers, "paid"), idsOf(answers, "declined")];
    await settleAsPaid(tx, paid, { settledAt, dueAt });
    await settleAsDeclined(tx, declined, settledAt);
    const asSaid = {
      paid: await areAll(tx, "paid", paid),
      declined: await areAll(tx, "declined", declined),
    };
    const recorded: (Order["status"] | undefined)[] = [];
    for (const { orderId, outcome } of answers) {
      recorded.push(asSaid[outcome] ? outcome : (await orderById(tx, orderId))?.status);
    }
    return recorded;
  });

  function ask(order: DueOrder): Promise<ChargeOutcome | "in doubt"> {
    const { orderId, paymentKey, amountTiyin, payer } = order;
    const charge = { orderId, paymentKey, amountTiyin, payer };
    return inTime()((signal) => payment.charge(charge, signal)).then(
      (outcome: unknown) =>
        outcome === "paid" || outcome === "declined"
          ? outcome
          : inDoubt(order, new Error("the provider's answer is none that we know")),
      (fault) => inDoubt(order, fault),
    );
  }

  function inDoubt({ orderId, createdAt }: DueOrder, fault: unknown): "in doubt" {
    const message = `The payment of order ${orderId} is in doubt`;
    if (now() - createdAt >= OLD_MS) log.warn(`${message}.`, fault);
    else log.info(`${message}: ${reasonOf(fault)}`);
    return "in doubt";
  }

  const lanes = createLanes<DueOrder>(
    LANES,
    ({ orderId }) => orderId,
    settle,
    (fault) => log.error("Settling an order has failed.", fault),
  );

  return {
    ...createDuty(parts, "pending", paymentTimeoutMs, lanes),
    settle,
    endBy(instant) {
      endsAt = instant;
    },
  };
}

function idsOf(answers: readonly Answer[], outcome: ChargeOutcome): number[] {
  return answers.filter((one) => one.outcome === outcome).map(({ orderId }) => orderId);
}
