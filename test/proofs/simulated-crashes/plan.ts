import type { LogLevel } from "../../../src/log.ts";
import type { OutsidePoint } from "./outside-world.ts";
import type { Random } from "./random.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A point where the process may be killed. */
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
  "before a notification",
  "after a notification",
  "after an answer",
  "at any time",
];

/** The parameters of one schedule. */
export interface Plan {
  /** When faults and kills stop. */
  readonly healthyFromMs: number;
  /** The number of distinct instants at which clients act. Fewer instants mean larger batches. */
  readonly times: number;
  readonly users: number;
  readonly acts: number;
  readonly paymentTimeoutMs: number;
  readonly repeatWindowS: number;
  readonly logLevel: LogLevel;
  /** The share of calls to the outside world that fail. */
  readonly faultRate: number;
  /** Whether the provider's answers contradict its ledger. */
  readonly flips: boolean;
  /** In order. Each happens when its point has been reached `hits` times. */
  readonly kills: { readonly point: KillPoint; hits: number }[];
  /** Ordinals of failing COMMITs, counted over all processes. */
  readonly failingCommits: ReadonlySet<number>;
  /** The probability that the COMMIT after a failed one fails too. */
  readonly failsOnShare: number;
  readonly clockJumpsMs: readonly number[];
  /** Whether the service is restarted at the end; otherwise it must finish without a restart. */
  readonly endsWithStart: boolean;
}

/** Draws a random plan. */
export function drawPlan(random: Random): Plan {
  const several = <T>(most: number, draw: () => T): T[] =>
    Array.from({ length: Math.max(0, random.integer(-1, most)) }, draw);
  const flips = random.happens(0.25);
  const common = {
    times: random.pick([4, 20, 1000]),
    users: random.integer(1, 3),
    acts: random.integer(4, 20),
    repeatWindowS: random.pick([0, 5, 120]),
    logLevel: random.pick<LogLevel>(["error", "info"]),
    flips,
    kills: several(2, () => ({ point: random.pick(KILL_POINTS), hits: random.integer(1, 8) })),
    failingCommits: new Set(several(4, () => random.integer(1, 30))),
    failsOnShare: random.pick([0, 0, 0.7]),
    endsWithStart: random.happens(0.5),
  };
  // Forward clock jumps make orders due while they are being charged: two charges, two answers.
  if (flips) {
    return {
      ...common,
      healthyFromMs: 12_000,
      paymentTimeoutMs: 8000,
      faultRate: 0.7,
      clockJumpsMs: Array.from({ length: 5 }, () => random.integer(MINUTE_MS, HOUR_MS)),
    };
  }
  return {
    ...common,
    healthyFromMs: random.pick([20, 2000, 12_000, 40_000]),
    paymentTimeoutMs: random.pick([300, 8000]),
    faultRate: random.pick([0, 0.2, 0.7]),
    clockJumpsMs: several(3, () => random.pick([-1, 1]) * Math.ceil(DAY_MS ** random.random())),
  };
}
