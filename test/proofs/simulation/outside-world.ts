import type { CallOptions } from "../../../src/lib/with-timeout.ts";
import type { Charge, ChargeOutcome, PaidOrder } from "../../../src/ports.ts";
import type { Oracle } from "./oracle.ts";
import type { Chance } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

/** The share of charges that the provider declines. */
const DECLINED_SHARE = 0.25;

/** The share of answers that a provider which contradicts itself turns round. */
const FLIPPED_SHARE = 0.4;

/** A stranger who works answers within this. */
const HEALTHY_MS = 50;

/** The share of calls that are answered in the very turn in which they are made. */
const AT_ONCE_SHARE = 0.3;

/** What no port promises, and a stranger's library may give all the same. */
const NONSENSE = [undefined, null, "maybe", 0, Symbol("odd"), Object.create(null), {}] as const;

/** Around which of its calls to the outside world a process may die. */
export type OutsidePoint =
  "before a charge" | "after a charge" | "before a notice" | "after a notice";

/** The process that makes a call, as far as the outside world knows it. */
export interface Caller {
  readonly alive: boolean;
  /** The process comes by this point, and may die there. */
  pass(point: OutsidePoint): void;
}

export interface OutsideWorldParts {
  readonly chance: Chance;
  readonly scheduler: Scheduler;
  readonly oracle: Oracle;
  readonly paymentTimeoutMs: number;
  /** The share of calls that go wrong. */
  readonly faultRate: () => number;
  /** Whether the provider contradicts itself. */
  readonly flips: boolean;
}

/** The provider, the dispatcher and the SMS gateway: what they do stands, though the caller dies. */
export function createOutsideWorld(parts: OutsideWorldParts) {
  const { chance, scheduler, oracle, paymentTimeoutMs, faultRate, flips } = parts;
  /** What the provider has decided, by payment key. */
  const decided = new Map<string, ChargeOutcome>();

  function decide(charge: Charge): ChargeOutcome {
    const outcome =
      decided.get(charge.paymentKey) ?? (chance.happens(DECLINED_SHARE) ? "declined" : "paid");
    decided.set(charge.paymentKey, outcome);
    oracle.charged(charge, outcome);
    if (!flips || !chance.happens(FLIPPED_SHARE)) return outcome;
    return outcome === "paid" ? "declined" : "paid";
  }

  /** A call that takes effect or not, and is answered or not, at times drawn by chance. */
  function call<T>(name: string, caller: Caller, act: () => T): Promise<T> {
    const isFaulty = chance.happens(faultRate());
    const fate = isFaulty ? chance.pick(["late", "late", "silent", "nonsense", "error"]) : "well";
    const acts = fate === "well" || fate === "late" || chance.happens(0.5);
    const answer = Promise.withResolvers<T>();

    function end() {
      const value = acts ? act() : undefined;
      // Whoever has died in the act hears nothing.
      if (!caller.alive || fate === "silent") return;
      if (fate === "nonsense") {
        // `as`: this is what the port rules out.
        const nonsense = chance.pick(NONSENSE) as T;
        // Resolved says that it has acted, with whatever value.
        if (acts && chance.happens(0.5)) answer.resolve(nonsense);
        else answer.reject(nonsense);
      } else if (value === undefined || fate === "error") answer.reject(new Error(`${name}: 502`));
      else answer.resolve(value);
    }

    const lateMs = chance.pick([
      paymentTimeoutMs / 2,
      paymentTimeoutMs - 1,
      paymentTimeoutMs,
      paymentTimeoutMs + 1,
      paymentTimeoutMs * 2,
    ]);
    if (fate === "late") scheduler.after(lateMs, `${name}, late`, end);
    else if (chance.happens(AT_ONCE_SHARE)) end();
    else scheduler.after(chance.whole(0, HEALTHY_MS), `${name}, ${fate}`, end);
    return answer.promise;
  }

  /** The parts of the process `caller`. Where it dies, nothing goes out or comes back any more. */
  return (caller: Caller) => {
    const silence = () => new Promise<never>(() => {});
    return {
      payment: {
        charge(charge: Charge, options: CallOptions): Promise<ChargeOutcome> {
          caller.pass("before a charge");
          if (!caller.alive) return silence();
          const ask = oracle.asked(charge, options);
          const answered = call(`charge of order ${charge.orderId}`, caller, () => {
            const outcome = decide(charge);
            if (caller.alive) caller.pass("after a charge");
            return outcome;
          });
          // Heard before the service hears it.
          void answered.then(ask.answered, () => ask.answered(undefined));
          return answered;
        },
      },
      dispatcher: {
        async notify({ orderId }: PaidOrder): Promise<void> {
          caller.pass("before a notice");
          if (!caller.alive) return silence();
          await call(`notice of order ${orderId}`, caller, () => {
            oracle.told(orderId);
            if (caller.alive) caller.pass("after a notice");
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
