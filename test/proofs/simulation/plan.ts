import type { LogLevel } from "../../../src/log.ts";
import type { OutsidePoint } from "./outside-world.ts";
import type { Chance } from "./random.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Where a process may be killed. */
export type KillPoint =
  | OutsidePoint
  | "before a BEGIN"
  | "before a COMMIT"
  | "in a COMMIT"
  | "after a COMMIT"
  | "after a COMMIT that failed"
  | "after an answer"
  | "at any time";

const KILL_POINTS: readonly [KillPoint, ...KillPoint[]] = [
  "before a BEGIN",
  "before a COMMIT",
  "in a COMMIT",
  "after a COMMIT",
  "after a COMMIT that failed",
  "before a charge",
  "after a charge",
  "before a notice",
  "after a notice",
  "after an answer",
  "at any time",
];

/** What is to happen in one schedule. */
export interface Plan {
  /** From then on nothing fails. */
  readonly healthyFromMs: number;
  /** Clients and clocks act at this many different times: the fewer, the more share a COMMIT. */
  readonly times: number;
  readonly users: number;
  readonly acts: number;
  readonly paymentTimeoutMs: number;
  readonly repeatWindowS: number;
  readonly logLevel: LogLevel;
  /** The share of calls to the outside world that go wrong. */
  readonly faultRate: number;
  /** Whether the provider contradicts itself. */
  readonly flips: boolean;
  /** One after the other, each when its point is passed for this many times. */
  readonly kills: { readonly point: KillPoint; passes: number }[];
  /** The COMMITs that fail, counted over all processes. */
  readonly failingCommits: ReadonlySet<number>;
  /** The share of COMMITs that fail after one that has failed. */
  readonly failsOnShare: number;
  readonly clockJumpsMs: readonly number[];
  /** Whether the service is started once more at the end, or has to come to an end without that. */
  readonly endsWithStart: boolean;
}

/** Draws a plan. */
export function drawPlan(chance: Chance): Plan {
  const several = <T>(most: number, draw: () => T): T[] =>
    Array.from({ length: Math.max(0, chance.whole(-1, most)) }, draw);
  const flips = chance.happens(0.25);
  const common = {
    times: chance.pick([4, 20, 1000]),
    users: chance.whole(1, 3),
    acts: chance.whole(4, 20),
    repeatWindowS: chance.pick([0, 5, 120]),
    logLevel: chance.pick<LogLevel>(["error", "info"]),
    flips,
    kills: several(2, () => ({ point: chance.pick(KILL_POINTS), passes: chance.whole(1, 8) })),
    failingCommits: new Set(several(4, () => chance.whole(1, 30))),
    failsOnShare: chance.pick([0, 0, 0.7]),
    endsWithStart: chance.happens(0.5),
  };
  // Where the clock is set forward, an order is due while it is being paid: two ask, and hear two things.
  if (flips) {
    return {
      ...common,
      healthyFromMs: 12_000,
      paymentTimeoutMs: 8000,
      faultRate: 0.7,
      clockJumpsMs: Array.from({ length: 5 }, () => chance.whole(MINUTE_MS, HOUR_MS)),
    };
  }
  return {
    ...common,
    healthyFromMs: chance.pick([20, 2000, 12_000, 40_000]),
    paymentTimeoutMs: chance.pick([300, 8000]),
    faultRate: chance.pick([0, 0.2, 0.7]),
    clockJumpsMs: several(3, () => chance.pick([-1, 1]) * Math.ceil(DAY_MS ** chance.share())),
  };
}
