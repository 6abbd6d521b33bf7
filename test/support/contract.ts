import Ajv2020, { type ValidateFunction } from "ajv/dist/2020";
import { createApp } from "../../src/app.ts";
import { createDependencies, createWorld } from "./world.ts";

// Checks responses against the service's own OpenAPI document. Anything undocumented is a fault.

/** The parts of the document used by tests. */
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly webhooks: Readonly<Record<string, { readonly post: Operation }>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, object>>;
    readonly parameters: Readonly<Record<string, Parameter>>;
  };
}
export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly security?: readonly object[];
  readonly parameters?: readonly (Parameter | Reference)[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<Record<string, DocumentedResponse>>;
}
export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required?: boolean;
  readonly schema: object;
  readonly example?: unknown;
}
export interface Reference {
  readonly $ref: string;
}
interface Media {
  readonly schema: object;
  readonly example?: unknown;
  readonly examples?: Readonly<
    Record<string, { readonly summary: string; readonly value: object }>
  >;
}
interface DocumentedResponse {
  readonly description: string;
  readonly headers: Readonly<Record<string, { readonly schema: object }>>;
  readonly content: Readonly<Record<string, Media>>;
}

/** Standard HTTP headers, which need not be documented. */
const PLAIN_HEADERS = ["content-type", "content-length", "date", "connection", "keep-alive"];

/** Headers that every response must have, even without an operation. */
const REQUIRED_HEADERS = ["x-request-id", "x-content-type-options", "cache-control"];

/** Headers that every response with this status must have. */
const REQUIRED_BY_STATUS: Record<number, string[]> = { 401: ["www-authenticate"], 405: ["allow"] };

const ajv = new Ajv2020({ strict: false, validateFormats: false });

let validators: Promise<ReturnType<typeof compile>> | undefined;

/** Returns how this response violates the document, or undefined if it does not. */
export async function faultOf(
  method: string,
  path: string,
  status: number,
  headers: Headers,
  body: unknown,
): Promise<string | undefined> {
  validators ??= readDocument().then(compile);
  const { operations, problem } = await validators;
  const pathname = new URL(`http://localhost${path}`).pathname.replace(/(?<=[^/])\/$/, "");
  const operation = operations.find((one) => one.method === method && one.pattern.test(pathname));
  const documented = operation?.responses.get(status);
  const where = `${method} ${operation?.path ?? "(no operation)"} ${status}`;
  if (operation !== undefined && documented === undefined) return `${where} is undocumented`;
  if (operation === undefined && ![400, 401, 403, 404, 405].includes(status)) {
    return `${where}: status not allowed without an operation`;
  }
  const validate = documented?.validate() ?? problem();
  if (!validate(body))
    return `${where}: ${ajv.errorsText(validate.errors)}: ${JSON.stringify(body)}`;
  const codes = documented && status >= 400 ? documented.codes : undefined;
  if (codes?.includes(codeOf(body)) === false) return `${where}: no example for ${codeOf(body)}`;
  const mediaType = documented?.mediaType ?? "application/problem+json";
  if (!headers.get("content-type")?.startsWith(mediaType)) return `${where}: not ${mediaType}`;
  return headerFault(headers, documented?.headers ?? new Map(), status);
}

function headerFault(
  headers: Headers,
  documented: Map<string, () => ValidateFunction>,
  status: number,
): string | undefined {
  const required = [...REQUIRED_HEADERS, ...(REQUIRED_BY_STATUS[status] ?? [])];
  const missing = required.find((name) => !headers.has(name));
  if (missing !== undefined) return `header ${missing} is missing`;
  if (headers.get("x-content-type-options") !== "nosniff")
    return "X-Content-Type-Options is not nosniff";
  if (headers.get("cache-control") !== "no-store") return "Cache-Control is not no-store";
  const undocumented = Array.from(headers.keys()).filter(
    (name) => !PLAIN_HEADERS.includes(name) && !documented.has(name) && !required.includes(name),
  );
  if (undocumented.length > 0) return `undocumented headers: ${undocumented.join(", ")}`;
  for (const [name, validate] of documented) {
    const value = headers.get(name);
    if (value !== null && !validate()(value)) return `header ${name} must not be "${value}"`;
  }
  return undefined;
}

function codeOf(body: unknown): string {
  return typeof body === "object" && body !== null && "code" in body ? String(body.code) : "";
}

/** Returns the OpenAPI document of a new service. */
export async function readDocument(): Promise<Document> {
  const { http } = createApp(createDependencies(createWorld()));
  const request = new Request("http://localhost/swagger/json", { headers: { host: "localhost" } });
  // `as`: redocly checks that it is an OpenAPI document.
  return (await (await http.handle(request)).json()) as Document;
}

/** Resolves a reference within the document. Throws if it has no target. */
export function resolve<Part extends object>(document: Document, part: Part | Reference): Part {
  if (!("$ref" in part)) return part;
  const names = String(part.$ref).split("/").slice(1);
  const found = names.reduce<unknown>((at, name) => Reflect.get(Object(at), name), document);
  if (found === undefined) throw new Error(`broken reference ${part.$ref}`);
  // `as`: a reference has the type of its target.
  return found as Part;
}

function compile(document: Document) {
  const { paths } = document;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { responses }]) => ({
      method: method.toUpperCase(),
      path,
      pattern: new RegExp(`^${path.replace(/\{\w+\}/g, "[^/]+")}$`),
      responses: new Map(
        Object.entries(responses).map(([status, response]) => {
          const schema = schemaOf(response, `${method} ${path} ${status}`);
          return [
            Number(status),
            {
              mediaType: Object.keys(response.content)[0],
              validate: once(() => compileStrictly(schema, document)),
              codes: Object.keys(Object.values(response.content)[0]?.examples ?? {}),
              headers: new Map(
                Object.entries(response.headers).map(([name, header]) => [
                  name.toLowerCase(),
                  once(() => ajv.compile(header.schema)),
                ]),
              ),
            },
          ];
        }),
      ),
    })),
  );
  // The body of responses without an operation.
  const problem = once(() => compileStrictly(PROBLEM));
  return { operations, problem };
}

const PROBLEM = {
  type: "object",
  required: ["type", "title", "status", "detail", "code", "request_id"],
  properties: Object.fromEntries(
    ["type", "title", "detail", "code", "request_id"]
      .map((name): [string, object] => [name, { type: "string" }])
      .concat([["status", { type: "integer" }]]),
  ),
};

function schemaOf({ content }: Partial<DocumentedResponse>, where: string): object {
  const [body] = Object.values(content ?? {});
  if (body === undefined) throw new Error(`${where} has no schema: its route needs \`response\``);
  return body.schema;
}

/** Compiles on first use: all schemas take 0.4 s, and a test file needs only a few. */
function once(compile: () => ValidateFunction): () => ValidateFunction {
  let compiled: ValidateFunction | undefined;
  return () => (compiled ??= compile());
}

/** Compiles a schema of the document to a validator that rejects undocumented fields. */
export function compileStrictly(schema: object, document?: Document): ValidateFunction {
  // References are resolved from the schema's root, so the named schemas are added to each.
  const root = { ...schema, components: { schemas: document?.components.schemas } };
  const strict = JSON.stringify(root, (_name, value) =>
    value !== null && typeof value === "object" && "properties" in value
      ? { ...value, additionalProperties: false }
      : value,
  );
  return ajv.compile(JSON.parse(strict));
}
