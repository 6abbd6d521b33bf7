import { expect, setDefaultTimeout, test } from "bun:test";
import Ajv2020 from "ajv/dist/2020";
import fc from "fast-check";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { readDocument, resolve } from "../support/contract.ts";
import { createService } from "../support/service.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

// Requests generated from the OpenAPI document alone: the service must accept everything it allows
// and refuse everything it forbids. The client also validates every response against the document.

const RUNS = Number(process.env["FUZZ_RUNS"] ?? 150);
const SEED = Number(process.env["FUZZ_SEED"] ?? 20_261_125);

interface Schema {
  readonly type?: string;
  readonly anyOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}
const ajv = new Ajv2020({ strict: false, validateFormats: false });

/** Generates values that the schema allows. The filter covers patterns that `draw` ignores. */
function allowedBy(schema: Schema): fc.Arbitrary<unknown> {
  const isValid = ajv.compile(schema);
  return draw(schema).filter((value) => isValid(value));
}

function draw(schema: Schema): fc.Arbitrary<unknown> {
  const { anyOf, type, minimum, maximum, minLength, maxLength, pattern } = schema;
  if (anyOf !== undefined) return fc.oneof(...anyOf.map(draw));
  switch (type) {
    case "null":
      return fc.constant(null);
    case "boolean":
      return fc.boolean();
    case "integer":
      return fc.maxSafeInteger().map((value) => clamp(value, minimum, maximum));
    case "string":
      return pattern !== undefined && maxLength === undefined
        ? fc.stringMatching(new RegExp(pattern))
        : fc.string({ unit: "grapheme", minLength: minLength ?? 0, maxLength: maxLength ?? 40 });
    case "object": {
      const { properties = {}, required = [] } = schema;
      const members = Object.fromEntries(
        Object.entries(properties).map(([name, member]) => [name, draw(member)]),
      );
      return fc.record(members, { requiredKeys: [...required] });
    }
    default:
      throw new Error(`no generator for the schema ${JSON.stringify(schema)}`);
  }
}

/** Generates JSON values that the schema forbids. */
function forbiddenBy(schema: Schema): fc.Arbitrary<unknown> {
  const isValid = ajv.compile(schema);
  const outOfRange = [schema, ...(schema.anyOf ?? [])].flatMap(
    ({ minimum, maximum, maxLength }) => [
      ...(minimum === undefined ? [] : [minimum - 1]),
      ...(maximum === undefined ? [] : [maximum + 1]),
      ...(maxLength === undefined ? [] : ["x".repeat(maxLength + 1)]),
    ],
  );
  return fc
    .oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom<unknown>(...outOfRange, 0.5, "1", "", {}))
    .filter((value) => !isValid(value));
}

function clamp(value: number, min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER) {
  return Math.min(Math.max(value, min), max);
}

async function readOperations() {
  const document = await readDocument();
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const body = operation.requestBody?.content["application/json"]?.schema;
      return {
        method: method.toUpperCase(),
        path,
        operationId: operation.operationId,
        parameters: (operation.parameters ?? []).map((one) => resolve(document, one)),
        bodySchema: body && describeSchema(resolve(document, body)),
      };
    }),
  );
}

/** Returns the schema with a type that covers its keywords. */
function describeSchema(schema: object): Schema {
  // `as`: the service's schemas use only these keywords.
  return schema as Schema;
}

const operations = await readOperations();

/** The generated parts of a request. */
interface Parts {
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

function allowedParts({
  parameters,
  bodySchema,
}: (typeof operations)[number]): fc.Arbitrary<Parts> {
  const values = parameters.map(({ name, schema, in: where }) => [
    name,
    // URL parsing removes the segments `.` and `..`.
    where === "path"
      ? allowedBy(schema).filter((value) => !/^\.{1,2}$/.test(String(value)))
      : allowedBy(schema),
  ]);
  const inPath = parameters.filter((one) => one.in === "path").map(({ name }) => name);
  return fc.record({
    parameters: fc.record(Object.fromEntries(values), { requiredKeys: inPath }),
    body: bodySchema === undefined ? fc.constant(undefined) : allowedBy(bodySchema),
  });
}

function send(
  { request }: ReturnType<typeof createService>,
  { method, path, parameters: declared }: (typeof operations)[number],
  { parameters, body }: Parts,
) {
  const headers: Record<string, string> = {};
  const query = new URLSearchParams();
  let target = path;
  for (const { name, in: where } of declared) {
    if (!(name in parameters)) continue;
    const text = String(parameters[name]);
    if (where === "path") target = target.replace(`{${name}}`, encodeURIComponent(text));
    if (where === "query") query.set(name, text);
    if (where === "header") headers[name] = text;
  }
  const json = JSON.stringify(body);
  return request(query.size === 0 ? target : `${target}?${query}`, {
    method,
    headers: { ...headers, ...(json !== undefined && { "content-type": "application/json" }) },
    ...(json !== undefined && { body: json }),
  });
}

test.each(operations.map((one) => [one.operationId, one] as const))(
  "%s accepts all input that the OpenAPI document allows",
  async (_name, operation) => {
    const service = createService();
    await service.userId();
    const statuses = new Set<number>();
    await fc.assert(
      fc.asyncProperty(allowedParts(operation), async (parts) => {
        const { status, body } = await send(service, operation, parts);
        statuses.add(status);
        // A schema can't express the rule of findUser: exactly one of its two parameters.
        const refusals = ["invalid_json", "invalid_idempotency_key", "unsupported_media_type"];
        expect(refusals).not.toContain(String(body["code"]));
        if (operation.operationId !== "findUser")
          expect(body["code"]).not.toBe("validation_failed");
      }),
      { numRuns: RUNS, seed: SEED },
    );
    expect(statuses.size).toBeGreaterThan(0);
  },
);

const withBody = operations.filter(({ bodySchema }) => bodySchema !== undefined);

test.each(withBody.map((one) => [one.operationId, one] as const))(
  "%s refuses every field value that the OpenAPI document forbids, naming the field",
  async (_name, operation) => {
    const service = createService();
    const { properties = {}, required = [] } = operation.bodySchema ?? {};
    for (const [name, schema] of Object.entries(properties)) {
      const wrong = fc.tuple(allowedParts(operation), forbiddenBy(schema));
      await fc.assert(
        fc.asyncProperty(wrong, async ([parts, value]) => {
          const body = Object.assign({}, parts.body, { [name]: value });
          const { status, body: answer } = await send(service, operation, { ...parts, body });
          expect([status, answer["code"]]).toEqual([422, "validation_failed"]);
          expect(answer["errors"]).toEqual([{ field: name, message: expect.any(String) }]);
        }),
        { numRuns: RUNS, seed: SEED },
      );
      if (!required.includes(name)) continue;
      const [parts] = fc.sample(allowedParts(operation), { numRuns: 1, seed: SEED });
      const body = Object.assign({}, parts?.body);
      Reflect.deleteProperty(body, name);
      const answer = await send(service, operation, { parameters: parts?.parameters ?? {}, body });
      expect(answer.body["errors"]).toEqual([{ field: name, message: "is missing" }]);
    }
  },
);

const parametersIn = (where: "header" | "query") =>
  operations.flatMap((operation) =>
    operation.parameters
      .filter((parameter) => parameter.in === where)
      // An invalid X-Request-Id is replaced, not refused.
      .filter((parameter) => parameter.name !== "X-Request-Id")
      .map((parameter) => [operation.operationId, parameter.name, operation, parameter] as const),
  );

test.each(parametersIn("header"))(
  "%s refuses every value of the header %s that the OpenAPI document forbids",
  async (_id, name, operation, { schema }) => {
    const service = createService();
    const isValid: (text: string) => boolean = ajv.compile(schema);
    // Printable ASCII without leading and trailing spaces, which HTTP strips.
    const texts = fc
      .oneof(fc.string({ unit: "grapheme-ascii" }), fc.stringMatching(/^"?[!-~]{0,300}"?$/))
      .filter((text) => !isValid(text) && text === text.trim() && /^[ -~]*$/.test(text));
    await fc.assert(
      fc.asyncProperty(fc.tuple(allowedParts(operation), texts), async ([parts, text]) => {
        const parameters = { ...parts.parameters, [name]: text };
        const { status } = await send(service, operation, { ...parts, parameters });
        expect(status).toBe(400);
      }),
      { numRuns: RUNS, seed: SEED },
    );
  },
);

// The document allows any string as phone_number.
const checked = parametersIn("query").filter(([, name]) => name !== "phone_number");

test.each(checked)(
  "%s refuses every value of the query parameter %s that the OpenAPI document forbids, naming it",
  async (_id, name, operation, { schema }) => {
    const service = createService();
    const isValid = ajv.compile(schema);
    const texts = forbiddenBy(describeSchema(schema))
      .map(String)
      .filter((text) => !isValid(/^-?\d+$/.test(text) ? Number(text) : text));
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        const [path] = fc.sample(allowedParts(operation), { numRuns: 1, seed: SEED });
        const inPath = operation.parameters.filter((one) => one.in === "path");
        const parameters = Object.fromEntries(
          inPath.map((one) => [one.name, path?.parameters[one.name]]),
        );
        const parts = { parameters: { ...parameters, [name]: text }, body: undefined };
        const { status, body } = await send(service, operation, parts);
        expect([status, body["code"]]).toEqual([422, "validation_failed"]);
        expect(body["errors"]).toEqual([{ field: name, message: expect.any(String) }]);
      }),
      { numRuns: RUNS, seed: SEED },
    );
  },
);
