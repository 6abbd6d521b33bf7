import { Elysia } from "elysia";
import { healthRoutes } from "./health/routes.ts";
import { frontDoor } from "./http/front-door.ts";
import { createKeys } from "./http/keys.ts";
import { requestLog } from "./http/request-log.ts";
import { swaggerUi } from "./http/swagger-ui.ts";
import type { Log } from "./log.ts";
import { createAnnouncer } from "./orders/announce-orders.ts";
import { makeAllDue } from "./orders/due-orders.ts";
import { createOrderDesk } from "./orders/create-order.ts";
import { orderRoutes } from "./orders/routes.ts";
import { createSettler } from "./orders/settle-orders.ts";
import type { DispatcherNotifier, PaymentGateway, SmsSender } from "./ports.ts";
import type { Settings } from "./settings.ts";
import type { Store } from "./store/store.ts";
import { tariffRoutes } from "./tariffs/routes.ts";
import { createUserDesk } from "./users/register-user.ts";
import { userRoutes } from "./users/routes.ts";

/** What the service is given: its data, the outside world, the clock, chance. */
export interface Parts {
  readonly store: Store;
  readonly sms: SmsSender;
  readonly payment: PaymentGateway;
  readonly dispatcher: DispatcherNotifier;
  readonly log: Log;
  /** The time in ms since 1970. */
  readonly now: () => number;
  readonly randomId: () => string;
  readonly settings: Settings;
}

/** The service's HTTP interface, for a typed client (Eden). */
export type App = ReturnType<typeof createApp>["http"];

/** The whole service, which listens to nobody yet. */
export function createApp(parts: Parts) {
  const callerOf = createKeys(parts.settings);
  const userDesk = createUserDesk(parts);
  const announcer = createAnnouncer(parts);
  const settler = createSettler({ ...parts, announcer });
  const duties = [settler, announcer];
  const orderDesk = createOrderDesk({ ...parts, settler });

  const http = new Elysia({ normalize: false })
    .use(requestLog(parts))
    .use(frontDoor({ ...parts, callerOf }))
    .use(swaggerUi())
    .use(healthRoutes(parts))
    .use(userRoutes({ userDesk }))
    .use(orderRoutes({ ...parts, orderDesk }))
    .use(tariffRoutes({ ...parts, callerOf }));

  return {
    /** Answers requests. */
    http,
    settler,
    announcer,
    /** Makes all that an earlier process left due now. */
    resume: () => parts.store.run((tx) => makeAllDue(tx, parts.now())),
    /** Does what is due, until the signal. */
    run: (signal: AbortSignal) => Promise.all(duties.map((duty) => duty.run(signal))),
    /** Resolves when the orders that are being paid now have their answers. */
    async ordersAnswered() {
      await orderDesk.idle();
      // Their answers are written in the same turn.
      await new Promise((resolve) => setImmediate(resolve));
    },
    /** Resolves when nothing goes on beside the requests. */
    idle: () => Promise.all([userDesk.idle(), ...duties.map((duty) => duty.idle())]),
  };
}
