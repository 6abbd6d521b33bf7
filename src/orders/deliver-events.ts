import type { Log } from "../log.ts";
import { pause } from "../pause.ts";
import type { Clock, WebhookEvent, WebhookSender } from "../ports.ts";
import type { OrderEvent } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { withTimeout } from "../with-timeout.ts";
import { claimDueEvents, setEventDue } from "./order-event-queries.ts";
import { toOrderJson } from "./order-json.ts";
import { orderById } from "./order-queries.ts";
import { leaseEndsAt, LONGEST_PAUSE_MS, nextAttemptAt } from "./retry-schedule.ts";

const TIMEOUT_MS = 5000;

/** How often to look for events that are due. */
const LOOK_MS = 500;

/** Events that are on their way at a time. */
const CONCURRENCY = 16;

/** An event that has not arrived for longer is worth a warning. */
const LONG_MS = 3_600_000;

/** A bot that has not answered for so long has to ask. */
const GIVEN_UP_AFTER_MS = 3 * 86_400_000;

export interface DeliverDependencies {
  readonly store: Store;
  readonly webhook: WebhookSender | null;
  readonly log: Log;
  readonly now: Clock;
}

export interface EventWorker {
  /**
   * Claims what is due and delivers it, or has it be due again; resolves to how many were due. When `cutoff`
   * aborts, what has not arrived by then is due again.
   */
  runOnce(cutoff?: AbortSignal): Promise<number>;
  /** Does so again and again until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Delivers each event at least once, until the bot has taken it or three days are over. */
export function createEventWorker({ store, webhook, log, now }: DeliverDependencies): EventWorker {
  async function runOnce(cutoff?: AbortSignal): Promise<number> {
    if (webhook === null) return 0;
    const at = now();
    const claimed = await store.run((tx) =>
      claimDueEvents(tx, {
        ...{ now: at, dueAt: leaseEndsAt(at, TIMEOUT_MS), limit: CONCURRENCY },
        // Later than any pause: the clock was set back.
        latest: at + LONGEST_PAUSE_MS,
      }),
    );
    await Promise.all(claimed.map((event) => deliver(webhook, event, cutoff)));
    return claimed.length;
  }

  async function deliver(sender: WebhookSender, event: OrderEvent, cutoff?: AbortSignal) {
    const { id, orderId, at, attempts } = event;
    try {
      const [order] = await store.read((tx) => orderById(tx, { orderId }));
      if (order === undefined) throw new Error(`its order ${orderId} is not there`);
      const sent = { eventId: id, type: typeOf(event), at, data: toOrderJson(order) };
      await withTimeout(TIMEOUT_MS, (options) => sender.send(sent, options), cutoff);
      await store.run((tx) => setEventDue(tx, { id, attempts, dueAt: null }));
    } catch (error) {
      const age = Math.abs(now() - at);
      const isGivenUp = age >= GIVEN_UP_AFTER_MS;
      const message = `Event ${id} of order ${orderId} has not reached the webhook`;
      if (isGivenUp) log.error(`${message} for three days; it is given up.`, error);
      else if (age >= LONG_MS) log.warn(`${message}; it is tried again.`, error);
      else log.info(`${message}; it is tried again.`);
      const dueAt = isGivenUp ? null : nextAttemptAt(now(), attempts);
      // Where nothing can be written, it is due when its lease is over.
      await store
        .run((tx) => setEventDue(tx, { id, attempts, dueAt }))
        .catch((fault) => log.error(`Can't give event ${id} back.`, fault));
    }
  }

  return {
    runOnce,
    async run(signal) {
      while (webhook !== null && !signal.aborted) {
        let claimed = 0;
        try {
          claimed = await runOnce(signal);
        } catch (error) {
          log.error("Can't look for events that are due; trying again.", error);
        }
        if (claimed < CONCURRENCY) await pause(LOOK_MS, signal);
      }
    },
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
