import type { Log } from "../log.ts";
import { pause } from "../pause.ts";
import type { Clock } from "../ports.ts";
import type { Store } from "../store/store.ts";
import type { TaskQueue } from "../task-queue.ts";
import type { Lease } from "./give-back-lease.ts";
import { claimDueOrders, type ClaimedOrder, makeAllDue } from "./order-queries.ts";
import { leaseEndsAt } from "./retry-schedule.ts";
import type { Waker } from "./waker.ts";

/** Orders of one status that are being worked on at a time. */
export const CONCURRENCY = 64;

/** How often to look for due orders. The common order is done long before it is found so. */
export const POLL_MS = 1000;

/** The same while there is more than one look brings. */
const BUSY_POLL_MS = 50;

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
  readonly waker: Waker;
}

/** Retries what is due until it is done. */
export interface OrderWorker {
  /** Claims due orders, those that the waker makes due included, and queues them; resolves to how many. */
  runOnce(): Promise<number>;
  /** Starts the waker, and claims until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export function createOrderWorker(dependencies: OrderWorkerDependencies): OrderWorker {
  const { store, log, now, status, timeoutMs, queue, waker } = dependencies;

  async function run(signal: AbortSignal) {
    waker.start();
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
    const limit = CONCURRENCY - queue.size();
    if (limit <= 0) return 0;
    const claimedAt = now();
    // An attempt that dies with the process leaves its order as this does: due when its lease is over.
    const dueAt = leaseEndsAt(claimedAt, timeoutMs);
    const after = waker.dueBeyond(claimedAt);
    const { woken, claimed } = await store.run(async (tx) => ({
      woken: await makeAllDue(tx, { status, now: claimedAt, after }),
      claimed: await claimDueOrders(tx, { status, now: claimedAt, dueAt, limit }),
    }));
    waker.woke(woken.length);
    for (const order of claimed) {
      log.debug(`Order ${order.orderId} is ${status}, and due.`);
      queue.add({ ...order, status, dueAt });
    }
    return claimed.length;
  }

  return { runOnce, run };
}
