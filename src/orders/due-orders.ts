import { and, asc, eq, gt, inArray, lte, sql } from "drizzle-orm";
import type { Lanes } from "../lanes.ts";
import type { Log } from "../log.ts";
import { prepared, type Store, type Tx } from "../store/store.ts";
import { orders } from "../store/tables.ts";
import { type DueOrder, payer } from "./order-records.ts";

/** Orders of one duty that are in hand at a time. */
export const LANES = 64;

/** How often to look for what is due. The common order is done long before it is found so. */
const TICK_MS = 1000;

/** The same while there is more than one look brings. */
const BUSY_TICK_MS = 50;

const LONGEST_PAUSE_MS = 3_600_000;

/** A clock that is set back by this leaves what is due too far in the future. */
const CLOCK_SET_BACK_MS = 60_000;

/** How long to wait after the nth attempt that failed: 1 s, 16 s, 81 s …, at most an hour. */
export function pauseMs(attempt: number): number {
  return Math.min(1000 * attempt ** 4, LONGEST_PAUSE_MS);
}

export interface DutyParts {
  readonly store: Store;
  readonly log: Log;
  /** The time in ms since 1970. */
  readonly now: () => number;
}

/** What is owed to the orders of one state: to be tried until it is done. */
export interface Duty {
  /** Takes in hand what is due; resolves to how many orders that were. */
  runOnce(): Promise<number>;
  /** Does so again and again until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when nothing is in hand. */
  idle(): Promise<void>;
}

/**
 * The duty towards the orders in `status`. An attempt is made by the lanes and takes up to `timeoutMs`;
 * one that fails leaves the order as it is, for it has been claimed until after the next pause.
 */
export function createDuty(
  { store, log, now }: DutyParts,
  status: "pending" | "paid",
  timeoutMs: number,
  lanes: Lanes<DueOrder>,
): Duty {
  async function runOnce() {
    const limit = LANES - lanes.load();
    if (limit <= 0) return 0;
    const claimed = await store.run((tx) => claim(tx, status, timeoutMs, now(), limit));
    for (const order of claimed) {
      log.debug(`Order ${order.orderId} is ${status}, and due.`);
      lanes.offer(order);
    }
    return claimed.length;
  }

  async function run(signal: AbortSignal) {
    let latest = now();
    while (!signal.aborted) {
      let found = 0;
      try {
        if (now() < latest - CLOCK_SET_BACK_MS) await store.run((tx) => makeAllDue(tx, now()));
        latest = now();
        found = await runOnce();
      } catch (fault) {
        log.error(`Can't look for ${status} orders that are due; trying again.`, fault);
      }
      await pause(found > 0 ? BUSY_TICK_MS : TICK_MS, signal);
    }
  }

  return { runOnce, run, idle: lanes.idle };
}

/** Resolves after `ms`, or when the signal is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}

const due = prepared((tx) =>
  tx
    .select({
      orderId: orders.id,
      paymentKey: orders.paymentKey,
      amountTiyin: orders.amountTiyin,
      payer,
      createdAt: orders.createdAt,
      attempts: orders.attempts,
    })
    .from(orders)
    .where(
      and(eq(orders.status, sql.placeholder("status")), lte(orders.dueAt, sql.placeholder("now"))),
    )
    .orderBy(asc(orders.dueAt))
    .limit(sql.placeholder("limit"))
    .prepare(),
);

const postpone = prepared((tx) =>
  tx
    .update(orders)
    .set({
      attempts: sql`${sql.placeholder("attempts")}`,
      dueAt: sql`${sql.placeholder("dueAt")}`,
    })
    .where(eq(orders.id, sql.placeholder("orderId")))
    .prepare(),
);

/** Counts an attempt for each order that is due, and makes it due again for when that has failed. */
async function claim(
  tx: Tx,
  status: "pending" | "paid",
  timeoutMs: number,
  now: number,
  limit: number,
): Promise<DueOrder[]> {
  const claimed: DueOrder[] = [];
  for (const { attempts, ...order } of await due(tx).execute({ status, now, limit })) {
    const attempt = attempts + 1;
    const dueAt = now + timeoutMs + pauseMs(attempt);
    await postpone(tx).execute({ orderId: order.orderId, attempts: attempt, dueAt });
    claimed.push({ ...order, dueAt });
  }
  return claimed;
}

const hasten = prepared((tx) =>
  tx
    .update(orders)
    .set({ dueAt: sql`${sql.placeholder("now")}` })
    .where(
      and(inArray(orders.status, ["pending", "paid"]), gt(orders.dueAt, sql.placeholder("now"))),
    )
    .prepare(),
);

/** Makes due now all that is due later: for the start, since whoever had it in hand is gone. */
export async function makeAllDue(tx: Tx, now: number): Promise<void> {
  await hasten(tx).execute({ now });
}
