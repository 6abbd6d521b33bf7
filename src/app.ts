import type { Dependencies } from "./dependencies.ts";
import { Elysia } from "elysia";
import { createBoard } from "./board/routes.ts";
import { healthRoutes } from "./health/routes.ts";
import { createAccess } from "./http/access.ts";
import { guard } from "./http/guard.ts";
import { logRequests } from "./http/request-log.ts";
import { swaggerUi } from "./http/swagger-ui.ts";
import { waitingOrders } from "./orders/order-queries.ts";
import { createOrders } from "./orders/orders.ts";
import { orderRoutes } from "./orders/routes.ts";
import { ORDER_DOCUMENTATION } from "./orders/webhook-document.ts";
import { createChangeStage } from "./orders/change-stage.ts";
import { tariffRoutes } from "./tariffs/routes.ts";
import { createUserService } from "./users/register-user.ts";
import { userRoutes } from "./users/routes.ts";

/** For what goes on beside the requests when the last of them is answered. */
const DRAIN_MARGIN_MS = 500;

/** The service's HTTP interface, for a typed client (Eden). */
export type App = ReturnType<typeof createApp>["http"];

/** The whole service, which does not listen yet. */
export function createApp(dependencies: Dependencies) {
  const { store, config } = dependencies;
  const cutoff = new AbortController();

  const userService = createUserService(dependencies);

  const orders = createOrders(dependencies, cutoff.signal);
  const workers = Object.values(orders.workers);

  /** Resolves when nothing runs beside the requests. */
  const idle = () => Promise.all([userService.idle(), ...workers.map((worker) => worker.idle())]);

  async function readWaiting(madeBy: number) {
    const [waiting] = await store.read((tx) => waitingOrders(tx, { madeBy }));
    if (waiting === undefined) throw new Error("a count has no row");
    return waiting;
  }

  const board = createBoard({ ...dependencies, changeStage: createChangeStage(dependencies) });

  const access = createAccess(config);
  const http = new Elysia({
    normalize: false,
    // Bun's router reads the path as it was sent, the guard as the URL standard normalizes it: with
    // both, `/orders/..` would be let in as `/` and served as `/orders/:order_id`.
    systemRouter: false,
    // Finds the path also behind a host of fewer than four characters.
    handler: { standardHostname: false },
  })
    .use(logRequests({ ...dependencies, access }))
    .use(guard({ ...dependencies, access, errorPages: board.errorPages }))
    .use(swaggerUi(ORDER_DOCUMENTATION))
    .use(healthRoutes({ ...dependencies, readWaiting }))
    .use(userRoutes({ ...dependencies, userService }))
    .use(orderRoutes({ ...dependencies, createOrder: orders.createOrder }))
    .use(tariffRoutes({ ...dependencies, access }))
    .use(board.http);

  return {
    /** Answers requests. */
    http,
    workers: orders.workers,
    /** Runs the workers until the signal aborts. They begin with everything that an earlier process has left. */
    run: (signal: AbortSignal) => Promise.all(workers.map((worker) => worker.run(signal))),
    idle,
    /** Ends the board's streams, which would never end by themselves. */
    closeStreams: board.close,
    /** Ends what goes on: the payments that are unanswered are in doubt, and each order has its answer. */
    async drain() {
      cutoff.abort();
      await orders.requestsIdle();
      // Their answers are written in the same turn.
      await new Promise((resolve) => setImmediate(resolve));
      // What is left is due already: the next process will find it.
      await Promise.race([idle(), new Promise((resolve) => setTimeout(resolve, DRAIN_MARGIN_MS))]);
    },
  };
}
