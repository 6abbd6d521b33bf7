import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { frontDoor } from "./http/front-door.ts";
import { swaggerUi } from "./http/swagger-ui.ts";
import type { OrderParts } from "./orders/create-order.ts";
import { orderRoutes } from "./orders/routes.ts";
import { tariffRoutes } from "./tariffs/routes.ts";
import type { RegisterParts } from "./users/register-user.ts";
import { userRoutes } from "./users/routes.ts";

/** All that the service is made of; the outside world, the clock and chance are among it. */
export type Parts = RegisterParts & OrderParts;

/** The whole service as one request handler; it listens to nobody yet. */
export function createApp(parts: Parts) {
  return new Elysia({ normalize: false })
    .use(frontDoor(parts))
    .use(swaggerUi())
    .get("/", () => ({ message: "NoMus API is running" as const }), {
      response: { 200: Type.Object({ message: Type.Literal("NoMus API is running") }) },
      detail: {
        operationId: "getRoot",
        tags: ["Service"],
        summary: "Is it running?",
        description: "The bot's health check.",
      },
    })
    .use(userRoutes(parts))
    .use(orderRoutes(parts))
    .use(tariffRoutes(parts));
}
