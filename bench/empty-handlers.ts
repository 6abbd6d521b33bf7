import { Elysia } from "elysia";
import { CREATE_ORDER } from "../src/orders/routes.ts";
import { REGISTER } from "../src/users/routes.ts";

// The upper limit: the same framework and schemas, with handlers that do nothing.

let last = 0;

const app = new Elysia({ normalize: false })
  .post(
    "/register",
    async () => ({
      status: "ok" as const,
      message: "User registered successfully" as const,
      user_id: ++last,
    }),
    REGISTER,
  )
  .post(
    "/create_order",
    async () => ({
      status: "ok" as const,
      order_id: ++last,
      message: "Order created and payment processed" as const,
    }),
    CREATE_ORDER,
  )
  .listen({ hostname: "127.0.0.1", port: 0, reusePort: false, development: false });

console.log(`listening on http://127.0.0.1:${app.server?.port}`);
