import { type Log, reasonOf } from "../log.ts";
import { pause } from "../pause.ts";
import type { Clock, WebhookEvent, WebhookSender } from "../ports.ts";
import type { OrderEvent } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { createTaskQueue } from "../task-queue.ts";
import { withTimeout } from "../with-timeout.ts";
import { claimDueEvents, makeAllEventsDue, setEventDue } from "./order-event-queries.ts";
import { toOrderJson } from "./order-json.ts";
import { orderById } from "./order-queries.ts";
import { leaseEndsAt, nextAttemptAt } from "./retry-schedule.ts";
import { createWaker } from "./waker.ts";

const TIMEOUT_MS = 5000;

/** How often to look for due events. */
const LOOK_MS = 500;

/** The same while a look brings something, or all places are taken. */
const BUSY_LOOK_MS = 50;

/** Events that are on their way at a time. */
const CONCURRENCY = 16;

/** An event that has not arrived for longer is worth a warning. */
const LONG_MS = 3_600_000;

/**
 * Attempts before an event is given up. The pauses between them add up to 72 h 18 min. The age of an event
 * would not do: the clock may have been wrong when the event was written.
 */
const MAX_ATTEMPTS = 79;

export interface DeliverDependencies {
  readonly store: Store;
  readonly webhook: WebhookSender | null;
  readonly log: Log;
  readonly now: Clock;
  /** When it aborts, the events that are on their way are rescheduled. */
  readonly cutoff?: AbortSignal;
}

export interface EventWorker {
  /** Claims due events, delivers or reschedules each, and resolves to how many were claimed. */
  runOnce(): Promise<number>;
  /** Starts the waker, and delivers due events until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when no event is on its way. */
  idle(): Promise<void>;
}

/** Without a webhook no event is ever due. */
const NO_WORKER: EventWorker = {
  runOnce: async () => 0,
  run: async () => {},
  idle: async () => {},
};

/** Delivers each event at least once, or gives it up after three days of attempts. */
export function createEventWorker(dependencies: DeliverDependencies): EventWorker {
  const { store, log, now, cutoff } = dependencies;
  if (dependencies.webhook === null) return NO_WORKER;
  const { webhook } = dependencies;
  const waker = createWaker(TIMEOUT_MS, store.isShared);

  const queue = createTaskQueue<OrderEvent>({
    concurrency: CONCURRENCY,
    keyOf: ({ id }) => id,
    run: deliver,
    onError: (error) => log.error("Delivering an event has failed.", error),
  });

  async function claim(): Promise<number> {
    const limit = CONCURRENCY - queue.size();
    if (limit <= 0) return 0;
    const at = now();
    const dueAt = leaseEndsAt(at, TIMEOUT_MS);
    const after = waker.dueBeyond(at);
    const { woken, claimed } = await store.run(async (tx) => ({
      woken: await makeAllEventsDue(tx, { now: at, after }),
      claimed: await claimDueEvents(tx, { now: at, dueAt, limit }),
    }));
    waker.woke(woken.length);
    for (const event of claimed) queue.add(event);
    return claimed.length;
  }

  async function deliver(event: OrderEvent) {
    const { id, orderId, at, attempts } = event;
    try {
      const [order] = await store.read((tx) => orderById(tx, { orderId }));
      if (order === undefined) throw new Error(`its order ${orderId} is not there`);
      const sent = { eventId: id, type: typeOf(event), at, data: toOrderJson(order) };
      await withTimeout(TIMEOUT_MS, (options) => webhook.send(sent, options), cutoff);
      await store.run((tx) => setEventDue(tx, { id, attempts, dueAt: null }));
      waker.succeeded();
    } catch (error) {
      const isGivenUp = attempts >= MAX_ATTEMPTS;
      const outcome = isGivenUp ? `it is given up after ${attempts} attempts` : "it is tried again";
      const message = `Event ${id} of order ${orderId} has not reached the webhook; ${outcome}: ${reasonOf(error)}`;
      if (isGivenUp) log.error(message);
      else if (Math.abs(now() - at) >= LONG_MS) log.warn(message);
      else log.info(message);
      const dueAt = isGivenUp ? null : nextAttemptAt(now(), attempts);
      // If nothing can be written, the event is due when its lease ends.
      await store
        .run((tx) => setEventDue(tx, { id, attempts, dueAt }))
        .catch((fault) => log.error(`Could not reschedule event ${id}.`, fault));
    }
  }

  return {
    async runOnce() {
      const claimed = await claim();
      await queue.idle();
      return claimed;
    },
    async run(signal) {
      waker.start();
      while (!signal.aborted) {
        let claimed = 0;
        try {
          claimed = await claim();
        } catch (error) {
          log.error("Can't look for events that are due; trying again.", error);
        }
        const isBusy = claimed > 0 || queue.size() >= CONCURRENCY;
        await pause(isBusy ? BUSY_LOOK_MS : LOOK_MS, signal);
      }
    },
    idle: queue.idle,
  };
}

function typeOf({ kind }: OrderEvent): WebhookEvent["type"] {
  switch (kind) {
    case "refund":
      return "order.refunded";
    case "settled":
      return "order.settled";
    default:
      return "order.stage_changed";
  }
}
