import type { Dependencies } from "./dependencies.ts";
import { Elysia, type InternalRoute } from "elysia";
import { createBoard } from "./board/routes.ts";
import { healthRoutes } from "./health/routes.ts";
import { createAccess } from "./http/access.ts";
import { guard } from "./http/guard.ts";
import { logRequests } from "./http/request-log.ts";
import { swaggerUi } from "./http/swagger-ui.ts";
import { createOrderProcessing } from "./orders/orders.ts";
import { NOTIFY_TIMEOUT_MS } from "./orders/retry-schedule.ts";
import { orderRoutes } from "./orders/routes.ts";
import { ORDER_DOCUMENTATION } from "./orders/order-json.ts";
import { createChangeStage } from "./orders/change-stage.ts";
import { tariffRoutes } from "./tariffs/routes.ts";
import { createRegisterUser } from "./users/register-user.ts";
import { userRoutes } from "./users/routes.ts";

/** Time for background work after the last response: for a notification, and to record it. */
const DRAIN_MS = NOTIFY_TIMEOUT_MS + 500;

/** The Elysia app. */
export type App = ReturnType<typeof createApp>["http"];

/** Creates the service, without listening. */
export function createApp(dependencies: Dependencies) {
  const cutoff = new AbortController();

  const users = createRegisterUser(dependencies);

  const orders = createOrderProcessing(dependencies, cutoff.signal);
  const workers = Object.values(orders.workers);

  /** Resolves when no background work is running. */
  const idle = () => Promise.all([users.idle(), ...workers.map((worker) => worker.idle())]);

  const board = createBoard({ ...dependencies, changeStage: createChangeStage(dependencies) });

  const access = createAccess(dependencies.config);
  const http = new Elysia({
    normalize: false,
    // Bun's router matches the raw path, but the guard checks the path as normalized by the URL
    // standard: it would allow `/orders/..` as `/`, and Bun would route it to `/orders/:order_id`.
    systemRouter: false,
    // The default would misread the path if the host has fewer than four characters.
    handler: { standardHostname: false },
  })
    .use(logRequests({ ...dependencies, access }))
    .use(guard({ ...dependencies, access, errorPages: board.errorPages }))
    .use(swaggerUi(ORDER_DOCUMENTATION, (): InternalRoute[] => http.routes))
    .use(healthRoutes(dependencies))
    .use(userRoutes({ ...dependencies, registerUser: users.registerUser }))
    .use(orderRoutes({ ...dependencies, createOrder: orders.createOrder }))
    .use(tariffRoutes({ ...dependencies, access }))
    .use(board.http);

  return {
    http,
    workers: orders.workers,
    /**
     * Runs the workers until the signal aborts. They begin with the unfinished work of earlier
     * processes.
     */
    run: (signal: AbortSignal) => Promise.all(workers.map((worker) => worker.run(signal))),
    idle,
    /** Ends the board's event streams, which never end otherwise. */
    closeStreams: board.close,
    /**
     * Aborts running payments, which leaves them in doubt. Waits for all responses and for
     * notifications that are being sent; no other begins.
     */
    async drain() {
      cutoff.abort();
      await orders.requestsIdle();
      // Wait one event-loop turn, in which those requests' responses are written.
      await new Promise((resolve) => setImmediate(resolve));
      // Unfinished orders are in the database; the next process resumes them.
      await Promise.race([idle(), new Promise((resolve) => setTimeout(resolve, DRAIN_MS))]);
    },
  };
}
