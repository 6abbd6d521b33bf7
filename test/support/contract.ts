import Ajv2020, { type ValidateFunction } from "ajv/dist/2020";
import { createApp } from "../../src/app.ts";
import { createDependencies, createWorld } from "./world.ts";

// Holds answers against the service's own OpenAPI document: what it does not say is a fault.

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, DocumentedResponse> }>>;
}
interface DocumentedResponse {
  headers: Record<string, { schema: object }>;
  content: Record<string, { schema: object }>;
}

/** What HTTP itself adds, and Swagger UI's files with it. */
const PLAIN_HEADERS = ["content-type", "content-length", "date", "connection", "keep-alive"];

/** What every answer has, also where there is no operation. */
const EVERY_ANSWER = ["x-request-id", "x-content-type-options", "cache-control"];

/** What every answer with this status has. */
const OF_STATUS: Record<number, string[]> = { 401: ["www-authenticate"], 405: ["allow"] };

const ajv = new Ajv2020({ strict: false, validateFormats: false });

let validators: Promise<ReturnType<typeof compile>> | undefined;

/** What is wrong with this answer by the document; undefined where nothing is. */
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
  if (operation !== undefined && documented === undefined) return `${where} is not documented`;
  if (operation === undefined && ![400, 401, 403, 404, 405].includes(status)) {
    return `${where} is no answer to what is no operation`;
  }
  const validate = documented?.validate() ?? problem();
  if (!validate(body))
    return `${where}: ${ajv.errorsText(validate.errors)}: ${JSON.stringify(body)}`;
  const mediaType = documented?.mediaType ?? "application/problem+json";
  if (!headers.get("content-type")?.startsWith(mediaType)) return `${where}: no ${mediaType}`;
  return headerFault(headers, documented?.headers ?? new Map(), status);
}

function headerFault(
  headers: Headers,
  documented: Map<string, () => ValidateFunction>,
  status: number,
): string | undefined {
  const required = [...EVERY_ANSWER, ...(OF_STATUS[status] ?? [])];
  const missing = required.find((name) => !headers.has(name));
  if (missing !== undefined) return `there is no header ${missing}`;
  if (headers.get("x-content-type-options") !== "nosniff") return "its type may be guessed";
  if (headers.get("cache-control") !== "no-store") return "it may be kept on the way";
  const undocumented = Array.from(headers.keys()).filter(
    (name) => !PLAIN_HEADERS.includes(name) && !documented.has(name) && !required.includes(name),
  );
  if (undocumented.length > 0) return `the headers ${undocumented.join(", ")} are not documented`;
  for (const [name, validate] of documented) {
    const value = headers.get(name);
    if (value !== null && !validate()(value)) return `the header ${name} is ${value}`;
  }
  return undefined;
}

async function readDocument(): Promise<Document> {
  const { http } = createApp(createDependencies(createWorld()));
  const request = new Request("http://localhost/swagger/json", { headers: { host: "localhost" } });
  // `as`: that the document is one is what the linters see to.
  return (await (await http.handle(request)).json()) as Document;
}

function compile({ paths }: Document) {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { responses }]) => ({
      method: method.toUpperCase(),
      path,
      pattern: new RegExp(`^${path.replace(/\{\w+\}/g, "[^/]+")}$`),
      responses: new Map(
        Object.entries(responses).map(([status, response]) => [
          Number(status),
          {
            mediaType: Object.keys(response.content)[0],
            validate: compileStrictly(schemaOf(response, `${method} ${path} ${status}`)),
            headers: new Map(
              Object.entries(response.headers).map(([name, { schema }]) => [
                name.toLowerCase(),
                once(() => ajv.compile(schema)),
              ]),
            ),
          },
        ]),
      ),
    })),
  );
  // What is no operation is answered with a problem of the same shape as any other.
  const problem = compileStrictly({
    type: "object",
    required: ["type", "title", "status", "detail", "code", "request_id"],
    properties: Object.fromEntries(
      ["type", "title", "detail", "code", "request_id"]
        .map((name): [string, object] => [name, { type: "string" }])
        .concat([["status", { type: "integer" }]]),
    ),
  });
  return { operations, problem };
}

function schemaOf({ content }: Partial<DocumentedResponse>, where: string): object {
  const [body] = Object.values(content ?? {});
  if (body === undefined) throw new Error(`${where} has no schema: its route needs \`response\``);
  return body.schema;
}

/** Compiles on first use: all schemas together take 0.4 s, and a test file needs a few of them. */
function once(compile: () => ValidateFunction): () => ValidateFunction {
  let compiled: ValidateFunction | undefined;
  return () => (compiled ??= compile());
}

/** Validates by the schema, and refuses every member that it does not name. */
function compileStrictly(schema: object): () => ValidateFunction {
  const strict = JSON.stringify(schema, (_name, value) =>
    value !== null && typeof value === "object" && "properties" in value
      ? { ...value, additionalProperties: false }
      : value,
  );
  return once(() => ajv.compile(JSON.parse(strict)));
}
