import type { Needs } from "../dependencies.ts";
import { type TSchema, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { routeOptions } from "../http/access.ts";
import { BODY_ERRORS, KEYED_ERRORS, problem, problemSchemas } from "../http/problems.ts";
import {
  parseInteger,
  expectation,
  Id,
  Lines,
  namedObject,
  optional,
  queryParameters,
  requestBody,
  TARIFF_CODE,
} from "../http/schemas.ts";
import type { CreateOrder } from "./create-order.ts";
import { orderById, ordersOfUser, userIdIfKnown } from "./order-queries.ts";
import { ORDER_EXAMPLES, ORDER_LIST_EXAMPLES, ORDER, toOrderJson } from "./order-json.ts";
import { POLL_MS } from "./worker.ts";
import { secondsUntil } from "../lib/format.ts";
import { leaseEndsAt } from "./retry-schedule.ts";

/** Maximum number of orders per list. */
const MAX_LISTED = 50;

const DETAILS_IGNORED = Type.Optional(
  Type.Literal(true, {
    description:
      "Present if this repeat has a different address or comment, but a dispatcher has already accepted or cancelled the order. The order keeps its original address and comment.",
  }),
);

const ORDER_ID = Id({ description: "The order's id.", examples: [7] });

const FIXED_TEXT = { description: "Always this string." };

const PAID = namedObject(
  "OrderPaid",
  {
    status: Type.Literal("ok", { description: "The order is paid." }),
    order_id: ORDER_ID,
    message: Type.Literal("Order created and payment processed", FIXED_TEXT),
    details_ignored: DETAILS_IGNORED,
  },
  { status: "ok", order_id: 7, message: "Order created and payment processed" },
);

const PENDING = namedObject(
  "OrderPending",
  {
    status: Type.Literal("pending", { description: "The payment is in doubt." }),
    order_id: ORDER_ID,
    message: Type.Literal("Order created, the payment is being checked", FIXED_TEXT),
    details_ignored: DETAILS_IGNORED,
  },
  { status: "pending", order_id: 7, message: "Order created, the payment is being checked" },
);

/** A quoted key without quotes inside, or a bare key that does not begin with a quote. */
const KEY = /^(?:"([!#-~]{1,255})"|([!#-~][!-~]{0,254}))$/;

const IDEMPOTENCY_KEY = {
  name: "Idempotency-Key",
  in: "header" as const,
  description:
    "A unique key for this order, such as a UUID. It is scoped to the user and never expires.",
  schema: { type: "string" as const, pattern: KEY.source },
};

/** Options of `POST /create_order`: request and responses. */
export const CREATE_ORDER = routeOptions({
  access: "client",
  parse: "json" as const,
  body: requestBody("CreateOrder", {
    user_id: Id({ examples: [1], description: "The user's id, from POST /register." }),
    tariff_code: Type.String({
      description: "The tariff's code, from GET /tariffs.",
      examples: ["standard_300"],
    }),
    address: optional(
      Lines(1, 300, { examples: ["Toshkent, Chilonzor 9, 12-uy"] }),
      "The address of the visit. A repeat can change it until a dispatcher accepts or cancels the order.",
    ),
    comment: optional(
      Lines(1, 500, { examples: ["The bell is broken"] }),
      "A note to the specialist. A repeat can change it until a dispatcher accepts or cancels the order.",
    ),
  }),
  response: {
    200: PAID,
    202: PENDING,
    ...problemSchemas(
      ...BODY_ERRORS,
      "invalid_idempotency_key",
      "payment_declined",
      "user_not_found",
      "tariff_not_found",
      "idempotency_key_reused",
      "too_many_orders",
    ),
  },
  detail: {
    operationId: "createOrder",
    tags: ["Orders and payments"],
    summary: "Create an order",
    description:
      "Charges the tariff's current price, and notifies the dispatcher once the order is paid. A repeat gets the same response and is not charged again. With an Idempotency-Key, a request with the same user and key is always a repeat. Without one, a request with the same user and tariff is a repeat while the first order is pending, or shortly after its creation if it is paid. Send a key with every order, or with none: sending an order once with a key and once without creates two orders and two charges.",
    parameters: [IDEMPOTENCY_KEY],
  },
});

interface OrderRoutesDependencies extends Needs<"store" | "now", "paymentTimeoutMs"> {
  readonly createOrder: CreateOrder["createOrder"];
}

/** Serves `POST /create_order`, `GET /orders/{order_id}` and `GET /users/{user_id}/orders`. */
export function orderRoutes({ store, createOrder, now, config }: OrderRoutesDependencies) {
  const leaseMs = leaseEndsAt(0, config.paymentTimeoutMs);

  /** Returns the seconds after which to poll a pending order with this due time. */
  function retryAfter(dueAt: number): string {
    const at = now();
    // An earlier due time may be the lease end of an attempt, which can finish at any moment.
    const waitMs = dueAt - at > leaseMs ? dueAt - at : Math.min(dueAt - at, POLL_MS);
    return secondsUntil(at + waitMs + POLL_MS, at);
  }

  return new Elysia({ normalize: false })
    .post(
      "/create_order",
      async ({ body, request, set, status }) => {
        const idempotencyKey = readIdempotencyKey(request.headers);
        if (idempotencyKey === undefined) return problem(set, "invalid_idempotency_key");
        const result = await createOrder({
          userId: body.user_id,
          // Malformed codes match nothing, and some (U+0000) would break PostgreSQL.
          tariffCode: TARIFF_CODE.test(body.tariff_code) ? body.tariff_code : "",
          idempotencyKey,
          address: body.address ?? null,
          comment: body.comment ?? null,
        });
        if (result.status === "rejected") {
          if (result.code === "too_many_orders") {
            set.headers["retry-after"] = secondsUntil(result.retryAt, now());
          }
          return problem(set, result.code);
        }
        if (result.isRepeat) set.headers["idempotent-replayed"] = "true";
        const details = result.detailsIgnored ? { details_ignored: true as const } : {};
        switch (result.status) {
          case "declined":
            return problem(set, "payment_declined", { order_id: result.orderId });
          case "pending":
            set.headers["retry-after"] = retryAfter(result.dueAt);
            return status(202, {
              status: "pending" as const,
              order_id: result.orderId,
              message: "Order created, the payment is being checked" as const,
              ...details,
            });
          case "paid":
            return {
              status: "ok" as const,
              order_id: result.orderId,
              message: "Order created and payment processed" as const,
              ...details,
            };
        }
      },
      CREATE_ORDER,
    )
    .get(
      "/orders/:order_id",
      async ({ params, set }) => {
        const orderId = parseInteger(params.order_id);
        const [order] = orderId ? await store.read((tx) => orderById(tx, { orderId })) : [];
        if (order === undefined) return problem(set, "order_not_found");
        if (order.status === "pending" && order.dueAt !== null) {
          set.headers["retry-after"] = retryAfter(order.dueAt);
        }
        return toOrderJson(order);
      },
      routeOptions({
        access: "client",
        response: {
          200: ORDER,
          ...problemSchemas(...KEYED_ERRORS, "order_not_found"),
        },
        detail: {
          operationId: "getOrder",
          tags: ["Orders and payments"],
          summary: "Get an order",
          description:
            "Returns the order's payment status and, if it is paid, the stage of the visit and the refund.",
          parameters: [idInPath("order_id", "The order's id, from POST /create_order.")],
          examples: ORDER_EXAMPLES,
        },
      }),
    )
    .get(
      "/users/:user_id/orders",
      async ({ params, query, set }) => {
        const userId = parseInteger(params.user_id);
        if (userId === undefined) return problem(set, "user_not_found");
        const before = parseInteger(query.before ?? String(Number.MAX_SAFE_INTEGER));
        const limit = parseInteger(query.limit ?? String(MAX_LISTED), 1, MAX_LISTED);
        const invalid = (field: string, schema: TSchema) =>
          problem(set, "validation_failed", {
            errors: [{ field, message: `must be ${expectation(schema)}` }],
          });
        if (before === undefined) return invalid("before", Id());
        if (limit === undefined) return invalid("limit", Id({ maximum: MAX_LISTED }));
        const listed = await store.read((tx) => ordersOfUser(tx, { userId, before, limit }));
        if (listed.length > 0) return listed.map(toOrderJson);
        const [user] = await store.read((tx) => userIdIfKnown(tx, { userId }));
        return user ? [] : problem(set, "user_not_found");
      },
      routeOptions({
        access: "client",
        query: queryParameters({
          before: Id({
            description: "Only orders with lower ids. For the next page, the last id of this one.",
          }),
          limit: Id({
            description: `Maximum number of orders. Default: ${MAX_LISTED}.`,
            maximum: MAX_LISTED,
          }),
        }),
        response: {
          200: Type.Array(ORDER),
          ...problemSchemas(...KEYED_ERRORS, "validation_failed", "user_not_found"),
        },
        detail: {
          operationId: "listOrdersOfUser",
          tags: ["Orders and payments"],
          summary: "List a user's orders",
          description: `Returns up to ${MAX_LISTED} orders, newest first. Pass \`before\` for the next page.`,
          parameters: [idInPath("user_id", "The user's id, from POST /register.")],
          examples: ORDER_LIST_EXAMPLES,
        },
      }),
    );
}

function idInPath(name: string, description: string) {
  return {
    name,
    in: "path" as const,
    required: true,
    description,
    schema: { type: "integer" as const, minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
    example: 1,
  };
}

/**
 * Returns the `Idempotency-Key` header's key, quoted as a structured string or bare
 * (draft-ietf-httpapi-idempotency-key-header). Null if the header is missing, undefined if
 * malformed.
 */
function readIdempotencyKey(headers: Headers): string | null | undefined {
  const value = headers.get("idempotency-key");
  if (value === null) return null;
  const [, quoted, bare] = KEY.exec(value) ?? [];
  return quoted ?? bare;
}
