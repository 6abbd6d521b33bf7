import { Elysia } from "elysia";
import { createBoard } from "./board/routes.ts";
import type { Config } from "./config.ts";
import { healthRoutes } from "./health/routes.ts";
import { createAccess } from "./http/access.ts";
import { guard } from "./http/guard.ts";
import { observeRequests } from "./http/observe-requests.ts";
import { swaggerUi } from "./http/swagger-ui.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { createChargeOrder } from "./orders/charge-order.ts";
import { createGiveBackLease, type Lease } from "./orders/give-back-lease.ts";
import { createEventWorker } from "./orders/deliver-events.ts";
import { createFollowOrder } from "./orders/follow-order.ts";
import { createOrderService } from "./orders/create-order.ts";
import { createNotifyDispatcher } from "./orders/notify-dispatcher.ts";
import { type DueOrder, waitingOrders } from "./orders/order-queries.ts";
import { CONCURRENCY, createOrderWorker } from "./orders/order-worker.ts";
import { NOTIFY_TIMEOUT_MS } from "./orders/retry-schedule.ts";
import { orderRoutes } from "./orders/routes.ts";
import { createWorkOrder } from "./orders/work-order.ts";
import type {
  Clock,
  DispatcherNotifier,
  PaidOrder,
  PaymentGateway,
  SmsSender,
  WebhookSender,
} from "./ports.ts";
import type { Store } from "./store/store.ts";
import { createTaskQueue } from "./task-queue.ts";
import { tariffRoutes } from "./tariffs/routes.ts";
import { createUserService } from "./users/register-user.ts";
import { userRoutes } from "./users/routes.ts";

/** For what goes on beside the requests when the last of them is answered. */
const DRAIN_MARGIN_MS = 500;

/** What the service is given: its data, the outside world, the clock, chance. */
export interface Dependencies {
  readonly store: Store;
  readonly sms: SmsSender;
  readonly payment: PaymentGateway;
  readonly dispatcher: DispatcherNotifier;
  /** The bot, where it wants to hear what becomes of its orders. */
  readonly webhook: WebhookSender | null;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: Clock;
  readonly randomId: () => string;
  readonly config: Config;
}

/** The service's HTTP interface, for a typed client (Eden). */
export type App = ReturnType<typeof createApp>["http"];

/** The whole service, which does not listen yet. */
export function createApp(dependencies: Dependencies) {
  const { log, config } = dependencies;
  const cutoff = new AbortController();

  const userService = createUserService(dependencies);

  const giveBackLease = createGiveBackLease(dependencies);
  const notifications = createTaskQueue({
    concurrency: CONCURRENCY,
    keyOf: ({ orderId }: Lease & PaidOrder) => orderId,
    run: createNotifyDispatcher({ ...dependencies, giveBackLease }),
    onError: (error) => log.error("Notifying the dispatcher has failed.", error),
  });
  const chargeOrder = createChargeOrder({
    ...dependencies,
    giveBackLease,
    cutoff: cutoff.signal,
    // Where the queue is full, the order is found when it is due.
    onPaid: (lease) => void notifications.add(lease),
  });
  const charges = createTaskQueue<DueOrder>({
    concurrency: CONCURRENCY,
    keyOf: ({ orderId }) => orderId,
    run: chargeOrder,
    onError: (error) => log.error("Charging an order has failed.", error),
  });
  const followOrder = createFollowOrder({ ...dependencies, cutoff: cutoff.signal });
  const orderService = createOrderService({ ...dependencies, chargeOrder, followOrder });

  const workers = {
    charge: createOrderWorker({
      ...dependencies,
      status: "pending",
      timeoutMs: config.paymentTimeoutMs,
      queue: charges,
    }),
    notify: createOrderWorker({
      ...dependencies,
      status: "paid",
      timeoutMs: NOTIFY_TIMEOUT_MS,
      queue: notifications,
    }),
    events: createEventWorker(dependencies),
  };

  /** Resolves when nothing goes on beside the requests. */
  const idle = () => Promise.all([userService.idle(), charges.idle(), notifications.idle()]);

  async function readWaiting(madeBy: number) {
    const [waiting] = await dependencies.store.read((tx) => waitingOrders(tx, { madeBy }));
    if (waiting === undefined) throw new Error("a count has no row");
    return waiting;
  }

  const board = createBoard({ ...dependencies, workOrder: createWorkOrder(dependencies) });

  const access = createAccess(config);
  const http = new Elysia({ normalize: false })
    .use(observeRequests({ ...dependencies, access }))
    .use(guard({ ...dependencies, access, errorPages: board.errorPages }))
    .use(swaggerUi())
    .use(healthRoutes({ ...dependencies, readWaiting }))
    .use(userRoutes({ ...dependencies, userService }))
    .use(orderRoutes({ ...dependencies, orderService }))
    .use(tariffRoutes({ ...dependencies, access }))
    .use(board.http);

  return {
    /** Answers requests. */
    http,
    workers,
    /** Runs the workers until the signal aborts: first they take all that an earlier process has left. */
    run: (signal: AbortSignal) =>
      Promise.all(Object.values(workers).map((worker) => worker.run(signal))),
    idle,
    /** Ends the board's streams, which would never end by themselves. */
    closeStreams: board.close,
    /** Ends what goes on: the payments that are unanswered are in doubt, and each order has its answer. */
    async drain() {
      cutoff.abort();
      await orderService.idle();
      // Their answers are written in the same turn.
      await new Promise((resolve) => setImmediate(resolve));
      // What is left is due already: the next process will find it.
      await Promise.race([idle(), new Promise((resolve) => setTimeout(resolve, DRAIN_MARGIN_MS))]);
    },
  };
}
