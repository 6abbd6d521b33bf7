import type { Log } from "../log.ts";
import { pause } from "../pause.ts";
import type { Clock } from "../ports.ts";
import type { Store } from "../store/store.ts";
import type { TaskQueue } from "../task-queue.ts";
import type { Lease } from "./give-back-lease.ts";
import { claimDueOrders, type ClaimedOrder, makeAllDue } from "./order-queries.ts";
import { leaseEndsAt, LONGEST_PAUSE_MS } from "./retry-schedule.ts";

/** Orders of one status that are being worked on at a time. */
export const CONCURRENCY = 64;

/** How often to look for due orders. The common order is done long before it is found so. */
export const POLL_MS = 1000;

/** The same while there is more than one look brings. */
const BUSY_POLL_MS = 50;

/** A clock that is set back by this leaves what is due too far in the future. */
const CLOCK_SET_BACK_MS = 60_000;

export interface OrderWorkerDependencies {
  readonly store: Store;
  readonly log: Log;
  readonly now: Clock;
  /** Which orders: the pending are to be charged, the paid to be notified of. */
  readonly status: "pending" | "paid";
  /** How long an attempt may take. */
  readonly timeoutMs: number;
  /** Makes the attempts. */
  readonly queue: TaskQueue<ClaimedOrder & Lease>;
}

/** Retries what is due until it is done. */
export interface OrderWorker {
  /**
   * Claims due orders and adds them to the queue; resolves to how many. Where the clock was set back, what
   * is due too far in the future is due now.
   */
  runOnce(): Promise<number>;
  /** Does so again and again until the signal aborts. The first time, as if the clock was set back. */
  run(signal: AbortSignal): Promise<void>;
}

export function createOrderWorker(dependencies: OrderWorkerDependencies): OrderWorker {
  const { store, log, now, status, timeoutMs, queue } = dependencies;

  /** The latest look at the clock. */
  let latest = Number.NEGATIVE_INFINITY;

  async function run(signal: AbortSignal) {
    // Nobody knows when an earlier process has looked.
    latest = Number.POSITIVE_INFINITY;
    while (!signal.aborted) {
      let claimed = 0;
      try {
        claimed = await runOnce();
      } catch (error) {
        log.error(`Can't look for ${status} orders that are due; trying again.`, error);
      }
      await pause(claimed > 0 ? BUSY_POLL_MS : POLL_MS, signal);
    }
  }

  async function runOnce() {
    if (now() < latest - CLOCK_SET_BACK_MS) await hasten();
    latest = now();
    const limit = CONCURRENCY - queue.size();
    if (limit <= 0) return 0;
    const claimedAt = now();
    // An attempt that dies with the process leaves its order as this does: due when its lease is over.
    const dueAt = leaseEndsAt(claimedAt, timeoutMs);
    const claimed = await store.run((tx) =>
      claimDueOrders(tx, { status, now: claimedAt, dueAt, limit }),
    );
    for (const order of claimed) {
      log.debug(`Order ${order.orderId} is ${status}, and due.`);
      queue.add({ ...order, status, dueAt });
    }
    return claimed.length;
  }

  /** Alone, whoever worked on an order is gone. Another copy may be at work on what its lease says. */
  async function hasten() {
    const at = now();
    const after = store.isShared ? leaseEndsAt(at, Math.max(timeoutMs, LONGEST_PAUSE_MS)) : at;
    await store.run((tx) => makeAllDue(tx, { now: at, after }));
  }

  return { runOnce, run };
}
