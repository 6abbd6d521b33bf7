import { STATUS_CODES } from "node:http";

// The parts of an OpenAPI document that are touched here.
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
}
interface Operation {
  parameters?: object[];
  requestBody?: { content: Content };
  responses: Record<string, { description?: string; content?: Content; [member: string]: unknown }>;
}
type Content = Record<string, { schema: Schema; example?: unknown }>;
interface Schema {
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  examples?: unknown[];
}

const HEADERS = {
  "X-Request-Id": {
    description: "The name of this request in the log; the client's own, if it sent one.",
    schema: { type: "string", pattern: "^[A-Za-z0-9_-]{1,64}$" },
  },
};

/**
 * The plugin's OpenAPI document as the service really answers: each body in one media type, problems as
 * `application/problem+json`, a description for each response, a body to try for each request. Its
 * schemas are JSON Schema, which is what OpenAPI 3.1 has and 3.0 has not.
 */
export function tidyDocument(raw: Document): Document {
  const paths: Document["paths"] = {};
  for (const [path, operations] of Object.entries(raw.paths)) {
    const tidied = Object.entries(operations).map(([method, one]) => [method, tidyOperation(one)]);
    paths[path] = Object.fromEntries(tidied);
  }
  return { ...raw, openapi: "3.1.0", paths };
}

function tidyOperation(operation: Operation): Operation {
  const responses: Operation["responses"] = {};
  for (const [status, response] of Object.entries(operation.responses)) {
    const json = response.content?.["application/json"];
    const mediaType = Number(status) < 400 ? "application/json" : "application/problem+json";
    responses[status] = {
      description: STATUS_CODES[status] ?? status,
      headers: HEADERS,
      ...(json && { content: { [mediaType]: json } }),
    };
  }
  const body = operation.requestBody?.content["application/json"];
  if (body === undefined) return { ...operation, responses };
  const content = { "application/json": { ...body, example: exampleOf(body.schema) } };
  return { ...operation, requestBody: { ...operation.requestBody, content }, responses };
}

/** A body made of the examples of its members. */
function exampleOf({ properties = {} }: Schema): Record<string, unknown> {
  const members = Object.entries(properties).map(([name, schema]) => {
    const [example] = schema.examples ?? schema.anyOf?.[0]?.examples ?? [];
    return [name, example];
  });
  return Object.fromEntries(members);
}
