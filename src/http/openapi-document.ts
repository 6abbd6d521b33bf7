import { examplesOf, REASON_PHRASES } from "./problems.ts";
import { withoutOwnErrors } from "./schemas.ts";

// The parts of an OpenAPI document that are touched here.
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
}
interface Operation {
  operationId?: string;
  parameters?: object[];
  requestBody?: { content: Content };
  responses: Record<string, { content?: Content }>;
}
type Content = Record<string, { schema: Schema; example?: unknown; examples?: object }>;
interface Schema {
  type?: string;
  enum?: string[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  examples?: unknown[];
}

/** The headers of an answer with this status, whatever the operation; those of every answer stand in `info`. */
const STATUS_HEADERS: Record<string, object> = {
  401: {
    "WWW-Authenticate": {
      description: "The header X-API-Key is missing.",
      schema: { type: "string", pattern: "^ApiKey realm=" },
    },
  },
};

/** The headers of an operation's answers beside that, by status. */
const OPERATION_HEADERS: Record<string, Record<string, object>> = {
  createOrder: {
    200: replayed("paid"),
    202: { ...replayed("in doubt"), ...retryAfter("the provider has been asked again") },
    402: replayed("declined"),
    429: retryAfter("the user may order again"),
  },
  getOrder: {
    200: retryAfter("the provider has been asked again, while the order is pending"),
  },
};

function retryAfter(moment: string) {
  return {
    "Retry-After": {
      description: `The seconds after which ${moment}.`,
      schema: { type: "string", pattern: "^[0-9]+$" },
    },
  };
}

function replayed(outcome: string) {
  return {
    "Idempotent-Replayed": {
      description: `Another request made this order, which was ${outcome} already or is now.`,
      schema: { type: "string", const: "true" },
    },
  };
}

/**
 * The plugin's OpenAPI document as the service really answers: each body in one media type, problems as
 * `application/problem+json`, a description and headers for each response, a body to try for each
 * request. Its schemas are JSON Schema, which is what OpenAPI 3.1 has and 3.0 has not.
 */
export function tidyDocument(raw: Document): Document {
  const paths = mapValues(raw.paths, (operations) => mapValues(operations, tidyOperation));
  return { ...raw, openapi: "3.1.0", paths };
}

const phrases: Readonly<Record<string, string>> = REASON_PHRASES;

function tidyOperation(operation: Operation): Operation {
  const responses = mapValues(operation.responses, ({ content }, status) => {
    const json = content?.["application/json"];
    const more = OPERATION_HEADERS[operation.operationId ?? ""]?.[status];
    const headers = { ...STATUS_HEADERS[status], ...more };
    const phrase = phrases[status] ?? status;
    if (json === undefined || Number(status) < 400) {
      return {
        description: phrase,
        headers,
        ...(json && { content: { [mediaTypeOf(json.schema)]: json } }),
      };
    }
    const examples = examplesOf(json.schema.properties?.["code"]?.enum ?? []);
    const reasons = Object.entries(examples).map(
      ([code, { summary }]) => `- \`${code}\`: ${summary}`,
    );
    return {
      description: [phrase, ...reasons].join("\n"),
      headers,
      content: { "application/problem+json": { ...json, examples } },
    };
  });
  const described = operation.requestBody?.content["application/json"];
  if (described === undefined) return { ...operation, responses };
  const body = withoutOwnErrors(described);
  const content = { "application/json": { ...body, example: exampleOf(body.schema) } };
  return { ...operation, requestBody: { ...operation.requestBody, content }, responses };
}

/** A text is answered as it stands. */
function mediaTypeOf({ type }: Schema): string {
  return type === "string" ? "text/plain" : "application/json";
}

/** A body made of the examples of its members. */
function exampleOf({ properties = {} }: Schema): Record<string, unknown> {
  return mapValues(properties, ({ examples, anyOf }) => (examples ?? anyOf?.[0]?.examples)?.[0]);
}

function mapValues<In, Out>(
  record: Record<string, In>,
  map: (value: In, name: string) => Out,
): Record<string, Out> {
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => [name, map(value, name)]),
  );
}
