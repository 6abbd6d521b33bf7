import { type TSchema, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { routeOptions } from "../http/access.ts";
import { BODY_ERRORS, KEYED_ERRORS, problem, problemSchemas } from "../http/problems.ts";
import { parseInteger } from "../http/parse-integer.ts";
import {
  expectation,
  Id,
  Lines,
  namedObject,
  optional,
  queryParameters,
  requestBody,
  TARIFF_CODE,
} from "../http/schemas.ts";
import type { Clock } from "../ports.ts";
import type { Store } from "../store/store.ts";
import type { CreateOrder } from "./create-order.ts";
import { orderById, ordersOfUser, userIdIfKnown } from "./order-queries.ts";
import { ORDER_EXAMPLES, ORDER_LIST_EXAMPLES } from "./order-examples.ts";
import { ORDER, toOrderJson } from "./order-json.ts";
import { POLL_MS } from "./worker.ts";
import { leaseEndsAt } from "./retry-schedule.ts";

/** The orders of a user that are listed at a time. */
const MAX_LISTED = 50;

const DETAILS_IGNORED = Type.Optional(
  Type.Literal(true, {
    description:
      "Present if this repeat has another address or comment, but a dispatcher has accepted the order: the order keeps its address and comment.",
  }),
);

const PAID = namedObject("OrderPaid", {
  status: Type.Literal("ok"),
  order_id: Id({ examples: [7] }),
  message: Type.Literal("Order created and payment processed"),
  details_ignored: DETAILS_IGNORED,
});

const PENDING = namedObject("OrderPending", {
  status: Type.Literal("pending"),
  order_id: Id({ examples: [7] }),
  message: Type.Literal("Order created, the payment is being checked"),
  details_ignored: DETAILS_IGNORED,
});

/** A key in quotes, which has none itself, or a bare one, which does not begin with one. */
const KEY = /^(?:"([!#-~]{1,255})"|([!#-~][!-~]{0,254}))$/;

const IDEMPOTENCY_KEY = {
  name: "Idempotency-Key",
  in: "header" as const,
  description:
    "The client's name for this order, such as a UUID. It never expires, and holds for this user alone.",
  schema: { type: "string" as const, pattern: KEY.source },
};

/** What `POST /create_order` takes and answers. */
export const CREATE_ORDER = routeOptions({
  access: "client",
  parse: "json" as const,
  body: requestBody("CreateOrder", {
    user_id: Id({ examples: [1], description: "From the answer of /register." }),
    tariff_code: Type.String({ examples: ["standard_300"] }),
    address: optional(
      Lines(1, 300, {
        description:
          "The place of the visit. A repeat can change it until a dispatcher accepts the order.",
        examples: ["Toshkent, Chilonzor 9, 12-uy"],
      }),
    ),
    comment: optional(
      Lines(1, 500, {
        description:
          "A note to the specialist. A repeat can change it until a dispatcher accepts the order.",
        examples: ["The bell is broken"],
      }),
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
    tags: ["Orders"],
    summary: "Order a specialist and pay",
    description:
      "Charges the tariff's current price, and notifies the dispatcher once the order is paid. A repeat gets the same answer and is not charged again: the same Idempotency-Key at any time; without a key, the same user and tariff while the first order is pending, or soon after it if it is paid. Send an Idempotency-Key with every order, or with none: the same order once with a key and once without is two orders and two charges.",
    parameters: [IDEMPOTENCY_KEY],
  },
});

export interface OrderRoutesDependencies {
  readonly store: Store;
  readonly createOrder: CreateOrder["createOrder"];
  readonly now: Clock;
  readonly config: { readonly paymentTimeoutMs: number };
}

/** `POST /create_order` and `GET /orders/{order_id}`. */
export function orderRoutes({ store, createOrder, now, config }: OrderRoutesDependencies) {
  const leaseMs = leaseEndsAt(0, config.paymentTimeoutMs);

  /** Seconds until a pending order is worth another look; `dueAt` is that of its row. */
  function retryAfter(dueAt: number): string {
    const at = now();
    // It may be the end of a running attempt's lease: that attempt can end at any moment.
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
          tags: ["Orders"],
          summary: "Look an order up",
          description:
            "Returns its payment status (pending, paid or declined) and, if it is paid, its stage with the dispatcher and its refund.",
          parameters: [idInPath("order_id", "From the answer of /create_order.")],
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
            description: "Only orders with lower ids: the last id of the previous list.",
          }),
          limit: Id({
            description: `The number of orders at most; ${MAX_LISTED} if left out.`,
            maximum: MAX_LISTED,
          }),
        }),
        response: {
          200: Type.Array(ORDER),
          ...problemSchemas(...KEYED_ERRORS, "validation_failed", "user_not_found"),
        },
        detail: {
          operationId: "listOrdersOfUser",
          tags: ["Orders"],
          summary: "List a user's orders",
          description: `The newest first, at most ${MAX_LISTED}; the next ones by \`before\`.`,
          parameters: [idInPath("user_id", "From the answer of /register.")],
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
 * The key in the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), as a structured
 * string or bare: null where there is no such header, undefined where it is no key.
 */
function readIdempotencyKey(headers: Headers): string | null | undefined {
  const value = headers.get("idempotency-key");
  if (value === null) return null;
  const [, quoted, bare] = KEY.exec(value) ?? [];
  return quoted ?? bare;
}

function secondsUntil(instant: number, now: number): string {
  return String(Math.max(1, Math.ceil((instant - now) / 1000)));
}
