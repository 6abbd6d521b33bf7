import { documentedProblem, examplesOf, type FieldError, REASON_PHRASES } from "./problems.ts";
import { REQUEST_ID } from "./request-log.ts";
import { type Example, expectation, SCHEMA_NAME, withoutInternals } from "./schemas.ts";

/** The parts of an OpenAPI document that this module reads or changes. */
export interface Document {
  openapi: string;
  components?: object;
  paths: Record<string, Record<string, Operation>>;
}
interface Operation {
  operationId?: string;
  parameters?: Parameter[];
  requestBody?: { content: Content };
  responses: Record<string, { description?: string; content?: Content }>;
  /** Complete examples of the 200 response, declared by the route. */
  examples?: Record<string, Example>;
}
type Parameter = { name?: string; in?: string; schema?: Schema; $ref?: string };
type Content = Record<
  string,
  { schema: Schema; example?: unknown; examples?: Record<string, Example> }
>;
// A type alias: interfaces are not assignable to index signatures.
type Schema = {
  type?: string;
  enum?: string[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  examples?: unknown[];
  minimum?: number;
  maximum?: number;
};

/** Parts of the document that no route declares. */
export interface Additions {
  /** The `webhooks` section. */
  readonly webhooks: Readonly<Record<string, object>>;
  /** Complete examples of named schemas, by name. */
  readonly examples: Readonly<Record<string, readonly object[]>>;
}

/** Headers of every operation, by status. `info` describes the headers of all responses. */
const STATUS_HEADERS: Record<string, object> = {
  401: {
    "WWW-Authenticate": {
      description: "The authentication scheme: an API key in X-API-Key.",
      schema: { type: "string", pattern: "^ApiKey realm=" },
    },
  },
};

/** Headers by operation and status. */
const OPERATION_HEADERS: Record<string, Record<string, object>> = {
  createOrder: {
    200: replayed("paid"),
    202: { ...replayed("in doubt"), ...retryAfter("Seconds to wait before looking up the order.") },
    402: replayed("declined"),
    429: retryAfter("Seconds until the user may order again."),
  },
  getOrder: {
    200: retryAfter(
      "Seconds to wait before looking up the order again. Present only if it is pending.",
    ),
  },
};

function retryAfter(description: string) {
  return {
    "Retry-After": {
      description,
      schema: { type: "string", pattern: "^[0-9]+$" },
    },
  };
}

function replayed(outcome: string) {
  return {
    "Idempotent-Replayed": {
      description: `Present if this request is a repeat: an earlier request created the order, which is ${outcome}.`,
      schema: { type: "string", const: "true" },
    },
  };
}

/** `components.parameters`: the parameter of every operation. */
const PARAMETERS = {
  RequestId: {
    name: "X-Request-Id",
    in: "header",
    required: false,
    description:
      "An id for this request, used in the response and the log. The service replaces malformed ids and ids that look like a phone number.",
    schema: { type: "string", pattern: REQUEST_ID.source },
  },
};

/**
 * Completes the plugin's OpenAPI document: one media type per body, `application/problem+json` for
 * errors, descriptions, headers, examples, named schemas, and the additions. The version is 3.1,
 * because 3.0 does not support JSON Schema. Throws if two different schemas have the same name.
 */
export function tidyDocument(raw: Document, { webhooks, examples }: Additions): Document {
  const { components, ...document } = withoutInternals(raw);
  const paths = mapValues(document.paths, (operations) => mapValues(operations, tidyOperation));
  const schemas: Record<string, unknown> = {};
  return {
    ...document,
    openapi: "3.1.0",
    ...refer({ paths, webhooks }, schemas, examples),
    components: { ...components, parameters: PARAMETERS, schemas },
  };
}

const phrases: Readonly<Record<string, string>> = REASON_PHRASES;

function tidyOperation({ examples, ...operation }: Operation): Operation {
  const responses = mapValues(operation.responses, (response, status) => {
    // The plugin moves unknown keywords from the schema to the response.
    const { content, description: _description, ...keywords } = response;
    const json = content?.["application/json"];
    const more = OPERATION_HEADERS[operation.operationId ?? ""]?.[status];
    const headers = { ...STATUS_HEADERS[status], ...more };
    const phrase = phrases[status] ?? status;
    if (json === undefined || Number(status) < 400) {
      const described = json && {
        schema: { ...keywords, ...json.schema },
        ...(status === "200" && examples && { examples }),
      };
      return {
        description: phrase,
        headers,
        ...(described && { content: { [mediaTypeOf(described.schema)]: described } }),
      };
    }
    const codes = json.schema.properties?.["code"]?.enum ?? [];
    const problems = examplesOf(codes, fieldErrorOf(operation));
    const reasons = Object.entries(problems).map(
      ([code, { summary }]) => `- \`${code}\`: ${summary}`,
    );
    const schema = documentedProblem(Number(status));
    return {
      description: [phrase, ...reasons].join("\n"),
      headers,
      content: { "application/problem+json": { schema, examples: problems } },
    };
  });
  const requestId = { $ref: "#/components/parameters/RequestId" };
  const parameters = [...(operation.parameters ?? []), requestId];
  const body = operation.requestBody?.content["application/json"];
  if (body === undefined) return { ...operation, parameters, responses };
  const content = { "application/json": { ...body, example: exampleOf(body.schema) } };
  const requestBody = { ...operation.requestBody, content };
  return { ...operation, parameters, requestBody, responses };
}

/** Strings are sent as plain text, everything else as JSON. */
function mediaTypeOf({ type }: Schema): string {
  return type === "string" ? "text/plain" : "application/json";
}

/** Builds a request body from the examples of its fields. */
function exampleOf({ properties = {} }: Schema): Record<string, unknown> {
  return mapValues(properties, ({ examples, anyOf }) => (examples ?? anyOf?.[0]?.examples)?.[0]);
}

/** Returns a possible error of this operation: a missing field or an invalid parameter. */
function fieldErrorOf({ requestBody, parameters }: Operation): FieldError | undefined {
  const [required] = requestBody?.content["application/json"]?.schema.required ?? [];
  if (required !== undefined) return { field: required, message: "is missing" };
  const query = parameters?.find((parameter) => parameter.in === "query");
  if (query?.name === undefined || query.schema === undefined) return undefined;
  return { field: query.name, message: `must be ${expectation(query.schema)}` };
}

/** Moves each named schema, with its examples, into `schemas`, and leaves a reference. */
function refer<Part>(
  part: Part,
  schemas: Record<string, unknown>,
  examples: Additions["examples"],
): Part {
  // `as`: only named schemas change, and a reference can replace any schema.
  return replace(part) as Part;

  function replace(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(replace);
    if (typeof value !== "object" || value === null) return value;
    const { [SCHEMA_NAME]: name, ...copy } = mapValues({ ...value }, replace);
    if (typeof name !== "string") return copy;
    const schema = { ...copy, ...(examples[name] && { examples: examples[name] }) };
    if (name in schemas && !Bun.deepEquals(schemas[name], schema)) {
      throw new Error(`two different schemas are named ${name}`);
    }
    schemas[name] = schema;
    return { $ref: `#/components/schemas/${name}` };
  }
}

function mapValues<In, Out>(
  record: Record<string, In>,
  map: (value: In, name: string) => Out,
): Record<string, Out> {
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => [name, map(value, name)]),
  );
}
