import type { CallOptions } from "../../../src/lib/with-timeout.ts";
import type { Charge, ChargeOutcome, PaidOrder } from "../../../src/ports.ts";
import type { Oracle } from "./oracle.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

const DECLINED_SHARE = 0.25;

/** The share of answers that a self-contradicting provider inverts. */
const FLIPPED_SHARE = 0.4;

/** Without a fault, the outside world answers within this time. */
const HEALTHY_MS = 50;

/** The share of calls answered synchronously. */
const AT_ONCE_SHARE = 0.3;

/** Values that violate the port's type but that a third-party library might return. */
const NONSENSE = [undefined, null, "maybe", 0, Symbol("odd"), Object.create(null), {}] as const;

/** Kill points around calls to the outside world. */
export type OutsidePoint =
  "before a charge" | "after a charge" | "before a notification" | "after a notification";

/** The process that makes a call. */
export interface Caller {
  readonly alive: boolean;
  /** May kill the process. */
  reach(point: OutsidePoint): void;
}

export interface OutsideWorldParts {
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly oracle: Oracle;
  readonly paymentTimeoutMs: number;
  /** The share of calls that fail. */
  readonly faultRate: () => number;
  /** Whether the provider's answers contradict its ledger. */
  readonly flips: boolean;
}

/** Simulates the provider, the dispatcher and the SMS gateway, whose actions survive the caller. */
export function createOutsideWorld(parts: OutsideWorldParts) {
  const { random, scheduler, oracle, paymentTimeoutMs, faultRate, flips } = parts;
  /** The provider's decisions, by payment key. */
  const decided = new Map<string, ChargeOutcome>();

  function decide(charge: Charge): ChargeOutcome {
    const outcome =
      decided.get(charge.paymentKey) ?? (random.happens(DECLINED_SHARE) ? "declined" : "paid");
    decided.set(charge.paymentKey, outcome);
    oracle.charged(charge, outcome);
    if (!flips || !random.happens(FLIPPED_SHARE)) return outcome;
    return outcome === "paid" ? "declined" : "paid";
  }

  /** Simulates a call: whether and when it takes effect and is answered is random. */
  function call<T>(name: string, caller: Caller, act: () => T): Promise<T> {
    const isFaulty = random.happens(faultRate());
    const fate = isFaulty ? random.pick(["late", "late", "silent", "nonsense", "error"]) : "well";
    const acts = fate === "well" || fate === "late" || random.happens(0.5);
    const answer = Promise.withResolvers<T>();

    function end() {
      const value = acts ? act() : undefined;
      // `act` may have killed the caller.
      if (!caller.alive || fate === "silent") return;
      if (fate === "nonsense") {
        // `as`: deliberately violates the port's type.
        const nonsense = random.pick(NONSENSE) as T;
        // Resolving means that the call took effect, so resolve only if it did.
        if (acts && random.happens(0.5)) answer.resolve(nonsense);
        else answer.reject(nonsense);
      } else if (value === undefined || fate === "error") answer.reject(new Error(`${name}: 502`));
      else answer.resolve(value);
    }

    const lateMs = random.pick([
      paymentTimeoutMs / 2,
      paymentTimeoutMs - 1,
      paymentTimeoutMs,
      paymentTimeoutMs + 1,
      paymentTimeoutMs * 2,
    ]);
    if (fate === "late") scheduler.after(lateMs, `${name}, late`, end);
    else if (random.happens(AT_ONCE_SHARE)) end();
    else scheduler.after(random.integer(0, HEALTHY_MS), `${name}, ${fate}`, end);
    return answer.promise;
  }

  /** Returns the ports for the process `caller`. A dead caller's calls have no effect and no answer. */
  return (caller: Caller) => {
    const neverAnswer = () => new Promise<never>(() => {});
    return {
      payment: {
        charge(charge: Charge, options: CallOptions): Promise<ChargeOutcome> {
          caller.reach("before a charge");
          if (!caller.alive) return neverAnswer();
          const ask = oracle.asked(charge, options);
          const answered = call(`charge of order ${charge.orderId}`, caller, () => {
            const outcome = decide(charge);
            if (caller.alive) caller.reach("after a charge");
            return outcome;
          });
          // Registered first, so the oracle sees the answer before the service does.
          void answered.then(ask.answered, () => ask.answered(undefined));
          return answered;
        },
      },
      dispatcher: {
        async notify({ orderId }: PaidOrder): Promise<void> {
          caller.reach("before a notification");
          if (!caller.alive) return neverAnswer();
          await call(`notification of order ${orderId}`, caller, () => {
            oracle.notified(orderId);
            if (caller.alive) caller.reach("after a notification");
            return true;
          });
        },
      },
      sms: {
        async sendCode(): Promise<void> {
          if (caller.alive) await call("SMS", caller, () => true);
        },
      },
    };
  };
}
