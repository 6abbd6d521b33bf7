import { Type } from "@sinclair/typebox";
import { named, namedObject } from "../http/schemas.ts";
import type { WebhookEvent } from "../ports.ts";
import { ORDER_EXAMPLES, ORDER } from "./order-json.ts";

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
    ...{ name, in: "header", required: true, description },
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
