import type { Needs } from "../dependencies.ts";
import { createChargeOrder, logFailedCharge } from "./charge-order.ts";
import { createCreateOrder } from "./create-order.ts";
import { createDeliverEvent, logFailedDelivery, WEBHOOK_TIMEOUT_MS } from "./deliver-event.ts";
import { webhookJobs } from "./event-queries.ts";
import { createNotifyDispatcher } from "./notify-dispatcher.ts";
import { type Attempt, chargeJobs, notificationJobs } from "./order-jobs.ts";
import { NOTIFY_TIMEOUT_MS } from "./retry-schedule.ts";
import { createWorker, type Worker } from "./worker.ts";

/** Maximum number of concurrent charges, and of concurrent notifications. */
const CONCURRENCY = 64;

/** Maximum number of concurrent webhook deliveries. */
const WEBHOOK_CONCURRENCY = 16;

/**
 * Wires up the creation of orders and the workers for charges, notifications and webhooks. When
 * `cutoff` aborts, unanswered charges are in doubt, running deliveries fail, and no notification
 * begins.
 */
export function createOrderProcessing(
  dependencies: Needs<
    "store" | "payment" | "dispatcher" | "webhook" | "log" | "metrics" | "now" | "randomId",
    "paymentTimeoutMs" | "orderRepeatWindowMs" | "ordersPerUserPerHour"
  >,
  cutoff: AbortSignal,
) {
  const { webhook, log, now, config } = dependencies;

  const notify = createWorker({
    ...dependencies,
    jobs: notificationJobs,
    timeoutMs: NOTIFY_TIMEOUT_MS,
    concurrency: CONCURRENCY,
    run: createNotifyDispatcher({ ...dependencies, cutoff }),
    onFailure: ({ orderId }: Attempt, error) =>
      log.warn(`The dispatcher was not notified of order ${orderId}; will retry.`, error),
  });
  const charge = createWorker({
    ...dependencies,
    jobs: chargeJobs,
    timeoutMs: config.paymentTimeoutMs,
    concurrency: CONCURRENCY,
    run: createChargeOrder({ ...dependencies, notify: notify.start, cutoff }),
    onFailure: logFailedCharge(log, now),
  });
  const events =
    webhook &&
    createWorker({
      ...dependencies,
      jobs: webhookJobs,
      timeoutMs: WEBHOOK_TIMEOUT_MS,
      concurrency: WEBHOOK_CONCURRENCY,
      run: createDeliverEvent({ ...dependencies, webhook, cutoff }),
      onFailure: logFailedDelivery(log, now),
    });
  const { createOrder, idle } = createCreateOrder({
    ...dependencies,
    chargeOrder: charge.attempt,
    cutoff,
  });

  return {
    createOrder,
    /** Resolves when all running calls of `createOrder` have settled. */
    requestsIdle: idle,
    workers: { charge, notify, events: events ?? NO_WORKER },
  };
}

/** Stands in for the webhook worker if no webhook is configured. */
const NO_WORKER: Pick<Worker<never, never>, "runOnce" | "run" | "idle"> = {
  runOnce: async () => 0,
  run: async () => {},
  idle: async () => {},
};
