import { type SchemaOptions, type Static, Type } from "@sinclair/typebox";
import { Id, namedObject, nullable, named } from "../http/schemas.ts";
import { CANCEL_REASONS, type Order, ORDER_STATUSES, REFUNDS, STAGES } from "../store/schema.ts";
import type { WebhookEvent } from "../ports.ts";

const INSTANT = { format: "date-time", examples: ["2026-11-23T09:30:00.000Z"] };

function oneOf<Value extends string>(values: readonly Value[], options: SchemaOptions = {}) {
  return Type.Unsafe<Value>(Type.String({ ...options, enum: [...values] }));
}

/** The schema of an order in responses and webhooks. */
export const ORDER = namedObject("Order", {
  order_id: Id({ description: "The order's id.", examples: [7] }),
  user_id: Id({ description: "The id of the user who ordered.", examples: [1] }),
  tariff_code: Type.String({
    description: "The code of the ordered tariff.",
    examples: ["standard_300"],
  }),
  amount_tiyin: Type.Integer({
    description: "The tariff's price when the order was created, in tiyin; 1 sum is 100 tiyin.",
    minimum: 1,
    examples: [30_000],
  }),
  currency: Type.Literal("UZS", { description: "Always UZS, the Uzbek sum." }),
  status: oneOf(ORDER_STATUSES, {
    description: "The payment's status. Pending means in progress or in doubt.",
  }),
  created_at: Type.String({ ...INSTANT, description: "When the order was created." }),
  settled_at: nullable(
    Type.String(INSTANT),
    "When the payment was settled as paid or declined; null while it is pending.",
  ),
  stage: nullable(oneOf(STAGES), "The stage of the visit; null unless the order is paid."),
  stage_at: nullable(
    Type.String(INSTANT),
    "When the stage last changed; null unless the order is paid.",
  ),
  refund: nullable(
    oneOf(REFUNDS),
    "The refund of a cancelled order, owed or given; null if no refund is due.",
  ),
  cancel_reason: nullable(
    oneOf(CANCEL_REASONS),
    "Why a dispatcher cancelled the order; null unless it is cancelled.",
  ),
  address: nullable(
    Type.String({ examples: ["Toshkent, Chilonzor 9, 12-uy"] }),
    "The address of the visit; null if none was given.",
  ),
  comment: nullable(
    Type.String({ examples: ["The bell is broken"] }),
    "The customer's note to the specialist; null if none was given.",
  ),
});

/** Converts an order's row to the `ORDER` schema. */
export function toOrderJson(order: Order): Static<typeof ORDER> {
  return {
    order_id: order.id,
    user_id: order.userId,
    tariff_code: order.tariffCode,
    amount_tiyin: order.amountTiyin,
    currency: "UZS",
    status: order.status,
    created_at: new Date(order.createdAt).toISOString(),
    settled_at: instantOf(order.settledAt),
    stage: order.stage,
    stage_at: instantOf(order.stageAt),
    refund: order.refund,
    cancel_reason: order.cancelReason,
    address: order.address,
    comment: order.comment,
  };
}

function instantOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

// Examples for the OpenAPI document. They are complete orders, because examples of single fields
// could combine into an impossible order.

const COMMON = {
  user_id: 1,
  tariff_code: "standard_300",
  amount_tiyin: 30_000,
  currency: "UZS",
  address: "Toshkent, Chilonzor 9, 12-uy",
  comment: null,
} as const;

const PAID = {
  ...COMMON,
  order_id: 7,
  status: "paid",
  created_at: "2026-11-23T09:30:00.000Z",
  settled_at: "2026-11-23T09:30:01.042Z",
  stage: "new",
  stage_at: "2026-11-23T09:30:01.042Z",
  refund: null,
  cancel_reason: null,
} as const;

const PENDING = {
  ...COMMON,
  order_id: 8,
  status: "pending",
  comment: "The bell is broken",
  created_at: "2026-11-24T16:05:12.310Z",
  settled_at: null,
  stage: null,
  stage_at: null,
  refund: null,
  cancel_reason: null,
} as const;

const CANCELLED = {
  ...COMMON,
  order_id: 5,
  status: "paid",
  created_at: "2026-11-22T11:02:40.118Z",
  settled_at: "2026-11-22T11:02:41.160Z",
  stage: "cancelled",
  stage_at: "2026-11-22T11:20:05.500Z",
  refund: "owed",
  cancel_reason: "no_specialist",
} as const;

/** Examples of one order. */
export const ORDER_EXAMPLES = {
  paid: { summary: "Paid; no dispatcher has accepted it yet", value: PAID },
  pending: { summary: "The payment is in progress or in doubt", value: PENDING },
  cancelled: { summary: "Paid and cancelled; the customer is owed a refund", value: CANCELLED },
} satisfies Record<string, { summary: string; value: Static<typeof ORDER> }>;

/** Examples of a user's orders, newest first. */
export const ORDER_LIST_EXAMPLES = {
  orders: { summary: "Three orders of one user", value: [PENDING, PAID, CANCELLED] },
};

// Describes the requests of `adapters/webhook.ts` in the OpenAPI document.

const EVENT_ID = "evt_42";

const HEADERS = [
  header(
    "webhook-id",
    "The event's id, the same in every retry. Ignore ids that you have already handled.",
    { pattern: "^evt_[1-9][0-9]*$", examples: [EVENT_ID] },
  ),
  header(
    "webhook-timestamp",
    "When this attempt was sent, as a Unix timestamp in seconds. Reject the request if this is more than 5 minutes off.",
    { pattern: "^[0-9]+$", examples: ["1795426330"] },
  ),
  header(
    "webhook-signature",
    "`v1,` and the base64 of HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`. The key is the base64-decoded part of WEBHOOK_SECRET after `whsec_`. Reject the request if the signature is wrong.",
    { pattern: "^v1,[A-Za-z0-9+/]{43}=$" },
  ),
];

function header(name: string, description: string, options: object) {
  return {
    name,
    in: "header",
    required: true,
    description,
    schema: Type.String(options),
  };
}

const EVENT_ORDER = Type.Object(
  {
    ...ORDER.properties,
    event_id: Type.String({ description: "The event's id, as in the header webhook-id." }),
  },
  { ...named("EventOrder"), description: "The order at the time of sending." },
);

const RESPONSES = {
  "2XX": { description: "The event is delivered. The body is not read." },
  default: {
    description:
      "Any other status, including redirects, a failed connection, or no response within 5 s. The event is retried after 1 s, 16 s, 81 s and so on, at most an hour apart, for three days.",
  },
};

interface EventDescription {
  /** The schema's name. */
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  /** Example values. */
  readonly timestamp: string;
  readonly data: object;
}

const { paid, cancelled } = ORDER_EXAMPLES;
const ACCEPTED_AT = "2026-11-23T09:32:10.000Z";
const SETTLED_AT = "2026-11-23T09:30:09.250Z";

const EVENTS: Readonly<Record<WebhookEvent["type"], EventDescription>> = {
  "order.stage_changed": {
    name: "OrderStageChanged",
    summary: "An order's stage changed",
    description:
      "A dispatcher accepted, started, completed or cancelled a paid order, or undid one of these changes.",
    timestamp: ACCEPTED_AT,
    data: { ...paid.value, stage: "accepted", stage_at: ACCEPTED_AT },
  },
  "order.refunded": {
    name: "OrderRefunded",
    summary: "An order was refunded",
    description: "A dispatcher recorded that they refunded a cancelled order.",
    timestamp: "2026-11-23T10:15:00.000Z",
    data: { ...cancelled.value, refund: "given" },
  },
  "order.settled": {
    name: "OrderSettled",
    summary: "A payment in doubt was settled",
    description:
      "The first payment attempt had no known outcome, and a retry settled the order: its status is now paid or declined.",
    timestamp: SETTLED_AT,
    data: { ...paid.value, settled_at: SETTLED_AT, stage_at: SETTLED_AT },
  },
};

/** The webhooks and the examples of orders in the OpenAPI document. */
export const ORDER_DOCUMENTATION = {
  webhooks: Object.fromEntries(
    Object.entries(EVENTS).map(([type, event]) => [type, { post: describe(type, event) }]),
  ),
  examples: { Order: Object.values(ORDER_EXAMPLES).map(({ value }) => value) },
};

function describe(type: string, event: EventDescription) {
  const { name, summary, description, timestamp, data } = event;
  const schema = namedObject(name, {
    type: Type.Literal(type, { description: "The event's type." }),
    timestamp: Type.String({ format: "date-time", description: "When the event happened." }),
    data: EVENT_ORDER,
  });
  const example = { type, timestamp, data: { ...data, event_id: EVENT_ID } };
  return {
    operationId: `on${name}`,
    tags: ["Orders and payments"],
    summary,
    description: `${description} Events can arrive out of order and more than once.`,
    // No key: the signature proves the origin.
    security: [],
    parameters: HEADERS,
    requestBody: { required: true, content: { "application/json": { schema, example } } },
    responses: RESPONSES,
  };
}
