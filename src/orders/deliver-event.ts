import type { Needs } from "../dependencies.ts";
import { type Log, reasonOf } from "../log.ts";
import type { Clock, WebhookEvent, WebhookSender } from "../ports.ts";
import type { OrderEvent } from "../store/schema.ts";
import { withTimeout } from "../lib/with-timeout.ts";
import { type Delivery, markDelivered } from "./event-queries.ts";
import { toOrderJson } from "./order-json.ts";
import { orderById } from "./order-queries.ts";

export const WEBHOOK_TIMEOUT_MS = 5000;

/** Failed deliveries of events this old are logged as warnings. */
const LONG_UNDELIVERED_MS = 3_600_000;

/**
 * Attempts before giving up on an event: their pauses add up to 72 h 18 min. The age alone does not
 * count, because the clock may have been wrong when the event was written.
 */
const MIN_ATTEMPTS = 79;

/**
 * The age before giving up on an event. Each successful delivery of another event causes an early
 * attempt, so that 79 attempts can take just a day.
 */
const MIN_AGE_MS = 72 * 3_600_000;

interface DeliverDependencies extends Needs<"store" | "log" | "now"> {
  readonly webhook: WebhookSender;
  /** Aborts running deliveries, which then fail. */
  readonly cutoff: AbortSignal;
}

/**
 * Returns a function that delivers an event and records the delivery, or gives up after three days
 * of failures. It rejects if another attempt is needed.
 */
export function createDeliverEvent(dependencies: DeliverDependencies) {
  const { store, webhook, log, now, cutoff } = dependencies;

  async function send(event: Delivery): Promise<void> {
    const { id, orderId, at } = event;
    const [order] = await store.read((tx) => orderById(tx, { orderId }));
    if (order === undefined) throw new Error(`order ${orderId} does not exist`);
    const sent = { eventId: id, type: typeOf(event), at, data: toOrderJson(order) };
    await withTimeout(WEBHOOK_TIMEOUT_MS, (options) => webhook.send(sent, options), cutoff);
  }

  return async (event: Delivery): Promise<void> => {
    const { id, orderId, attempt, at } = event;
    try {
      await send(event);
    } catch (error) {
      if (attempt < MIN_ATTEMPTS || Math.abs(now() - at) < MIN_AGE_MS) throw error;
      log.error(
        `Webhook event ${id} of order ${orderId} was given up after ${attempt} attempts: ${reasonOf(error)}`,
      );
    }
    await store.run((tx) => markDelivered(tx, { id, attempt }));
  };
}

/**
 * Returns a function that logs failed deliveries: a warning if the event is over an hour old, else
 * an info line.
 */
export function logFailedDelivery(log: Log, now: Clock) {
  return ({ id, orderId, at }: Delivery, error: unknown) => {
    const message = `Webhook event ${id} of order ${orderId} was not delivered; it will be retried: ${reasonOf(error)}`;
    if (Math.abs(now() - at) >= LONG_UNDELIVERED_MS) log.warn(message);
    else log.info(message);
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
