import { describe, expect, test, setDefaultTimeout } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/process.ts";
import { compileStrictly, readDocument, resolve } from "../support/contract.ts";
import { createService } from "../support/service.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const ROOT = join(import.meta.dir, "../..");

const LINT = ["lint", "--config", "test/support/redocly.yaml", "--format", "stylish"];

test("OpenAPI document: redocly reports no errors or warnings", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "openapi.json");
  writeFileSync(path, JSON.stringify((await createService().get("/swagger/json")).body));
  const lint = Bun.spawn([process.execPath, "x", "redocly", ...LINT, path], {
    cwd: ROOT,
    // Disables telemetry.
    env: { ...process.env, REDOCLY_TELEMETRY: "off", NO_COLOR: "1" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [printed, complaints] = await Promise.all([lint.stdout.text(), lint.stderr.text()]);
  expect([await lint.exited, printed + complaints]).toEqual([
    0,
    expect.not.stringMatching(/ (warning|error) /),
  ]);
});

test("OpenAPI document: each operation has an id, a description and all its statuses", async () => {
  const { body } = await createService().get("/swagger/json");
  // `as`: redocly checks that it is an OpenAPI document.
  const paths = body["paths"] as Record<string, Record<string, Record<string, unknown>>>;
  const statuses: Record<string, string[]> = {};
  for (const operations of Object.values(paths)) {
    for (const { operationId, summary, description, responses } of Object.values(operations)) {
      expect([typeof summary, typeof description]).toEqual(["string", "string"]);
      statuses[String(operationId)] = Object.keys(responses ?? {});
    }
  }
  const open = ["200", "500"];
  const keyed = ["200", "400", "401", "403", "500", "503"];
  const withBody = [...keyed, "413", "415", "422"];
  expect(
    Object.fromEntries(Object.entries(statuses).map(([id, all]) => [id, all.toSorted()])),
  ).toEqual({
    getRoot: open,
    getHealth: [...open, "503"],
    getMetrics: keyed,
    registerUser: withBody.toSorted(),
    findUser: [...keyed, "404", "422"].toSorted(),
    createOrder: [...withBody, "202", "402", "404", "429"].toSorted(),
    getOrder: [...keyed, "404"].toSorted(),
    listOrdersOfUser: [...keyed, "404", "422"].toSorted(),
    listTariffs: keyed,
    putTariff: withBody.toSorted(),
  });
});

describe("OpenAPI document", () => {
  test("has exactly the parameters that each route declares", async () => {
    const document = await readDocument();
    const documented: Record<string, string[]> = {};
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, { parameters = [] }] of Object.entries(operations)) {
        const names = parameters.map((one) => resolve(document, one));
        documented[`${method} ${path}`] = names.map((one) => `${one.in} ${one.name}`).toSorted();
      }
    }
    const declared: Record<string, string[]> = {};
    for (const { method, path, hooks } of createService().app.http.routes) {
      if (hooks.detail.hide === true) continue;
      const name = `${method.toLowerCase()} ${path.replace(/:(\w+)/g, "{$1}")}`;
      declared[name] = [
        "header X-Request-Id",
        ...Array.from(path.matchAll(/:(\w+)/g), ([, name]) => `path ${name}`),
        ...Object.keys(hooks.query?.properties ?? {}).map((name) => `query ${name}`),
        ...Object.keys(hooks.headers?.properties ?? {}).map((name) => `header ${name}`),
        ...(hooks.detail.parameters ?? [])
          .filter((one: { in: string }) => one.in === "header")
          .map((one: { name: string }) => `header ${one.name}`),
      ].toSorted();
    }
    expect(documented).toEqual(declared);
    // These headers are read from the request itself, so they are in no route schema.
    expect(documented).toMatchObject({
      "post /create_order": ["header Idempotency-Key", "header X-Request-Id"],
      "get /users": ["header X-Request-Id", "query chat_id", "query phone_number"],
      "get /users/{user_id}/orders": [
        "header X-Request-Id",
        "path user_id",
        "query before",
        "query limit",
      ],
      "put /tariffs/{code}": ["header X-Request-Id", "path code"],
    });
  });

  test("defines every object as a named schema, and uses all of them", async () => {
    const document = await readDocument();
    const { schemas } = document.components;
    expect(Object.keys(schemas)).toEqual(
      expect.arrayContaining([
        ...["Order", "User", "Tariff", "Problem", "ValidationProblem", "PaymentDeclinedProblem"],
        ...["Register", "CreateOrder", "PutTariff", "Registered", "OrderPaid", "OrderPending"],
        ...["OrderStageChanged", "OrderRefunded", "OrderSettled"],
      ]),
    );
    const operations = [
      ...Object.values(document.paths).flatMap((methods) => Object.values(methods)),
      ...Object.values(document.webhooks).map(({ post }) => post),
    ];
    const bodies = operations.flatMap(({ requestBody, responses }) =>
      [requestBody, ...Object.values(responses)].flatMap((one) =>
        Object.values(one?.content ?? {}).map(({ schema }) => schema),
      ),
    );
    const inline = bodies.filter((schema) => JSON.stringify(schema).includes('"properties"'));
    expect(inline).toEqual([]);
    const nested = Object.values(schemas).filter(
      (schema) => JSON.stringify(schema).split('"properties"').length !== 2,
    );
    expect(nested).toEqual([]);
    const text = JSON.stringify(document);
    const unused = Object.keys(schemas).filter(
      (name) => !text.includes(`"#/components/schemas/${name}"`),
    );
    expect(unused).toEqual([]);
    expect(text).not.toContain("x-schema-name");
  });

  test("does not depend on requests served before it is first read", async () => {
    const { get, post, put } = createService();
    await post("/register", { phone_number: "+998901234567" });
    await post("/create_order", { user_id: 1, tariff_code: "standard_300" });
    await put("/tariffs/express", { title: "Express", price_tiyin: 1 });
    for (const path of [
      ...["/", "/health", "/metrics", "/tariffs", "/orders/1", "/orders/x"],
      ...["/users?chat_id=5", "/users", "/users/1/orders", "/users/1/orders?limit=x"],
    ]) {
      await get(path);
    }
    expect((await get("/swagger/json")).body).toEqual({ ...(await readDocument()) });
  });

  test("has complete examples that its schemas allow", async () => {
    const document = await readDocument();
    const faults: string[] = [];
    const check = (where: string, schema: object, value: unknown) => {
      const validate = compileStrictly(schema, document);
      if (!validate(value)) faults.push(`${where}: ${JSON.stringify(validate.errors)}`);
    };
    for (const [where, operations] of Object.entries({ ...document.paths, ...document.webhooks })) {
      for (const { requestBody, responses } of Object.values(operations)) {
        for (const { content = {} } of [requestBody ?? {}, ...Object.values(responses)]) {
          for (const { schema, example, examples = {} } of Object.values(content)) {
            if (example !== undefined) check(where, schema, example);
            for (const { value } of Object.values(examples)) check(where, schema, value);
          }
        }
      }
    }
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      // `as`: redocly checks that it is a schema.
      const { examples = [] } = schema as { examples?: unknown[] };
      for (const value of examples) check(name, schema, value);
    }
    expect(faults).toEqual([]);
  });

  test.each([
    ["OrderPaid", "ok", "Order created and payment processed"],
    ["OrderPending", "pending", "Order created, the payment is being checked"],
  ])("has an example of %s without the rare details_ignored", async (name, status, message) => {
    const { schemas } = (await readDocument()).components;
    const examples = [{ status, order_id: 7, message }];
    expect(schemas[name]).toEqual(expect.objectContaining({ examples }));
  });

  test("has examples of orders that can exist", async () => {
    const orders: Record<string, unknown>[] = [];
    JSON.stringify(await readDocument(), (_name, value) => {
      // A schema has objects for these fields, an order has strings.
      if (typeof value?.created_at === "string" && "stage" in value) orders.push(value);
      return value;
    });
    // Examples of the order, the list, the schema and the three events.
    expect(orders).toHaveLength(12);
    for (const order of orders) {
      const isPaid = order["status"] === "paid";
      const isCancelled = order["stage"] === "cancelled";
      expect(order).toEqual({
        ...order,
        settled_at: order["status"] === "pending" ? null : expect.any(String),
        stage: isPaid ? expect.any(String) : null,
        stage_at: isPaid ? expect.any(String) : null,
        refund: isCancelled ? order["refund"] : null,
        cancel_reason: isCancelled ? expect.any(String) : null,
      });
      const instants = [order["created_at"], order["settled_at"], order["stage_at"]];
      const given = instants.filter((instant) => instant !== null);
      expect(given).toEqual(given.toSorted());
    }
    expect(orders).toContainEqual(expect.objectContaining({ status: "paid", stage: "new" }));
    expect(orders).toContainEqual(expect.objectContaining({ status: "pending" }));
    expect(orders).toContainEqual(expect.objectContaining({ stage: "cancelled", refund: "owed" }));
  });

  test("has an example of each declared error, and they name only fields of that route", async () => {
    const document = await readDocument();
    for (const { method, path, hooks } of createService().app.http.routes) {
      if (hooks.detail.hide === true) continue;
      const operation = document.paths[path.replace(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()];
      const fields = [
        ...Object.keys(hooks.query?.properties ?? {}),
        ...Object.keys(hooks.body?.properties ?? {}),
      ];
      for (const [status, { content }] of Object.entries(operation?.responses ?? {})) {
        if (Number(status) < 400) continue;
        const examples = content["application/problem+json"]?.examples ?? {};
        const { enum: codes } = hooks.response[status].properties.code;
        expect(Object.keys(examples).toSorted()).toEqual([...codes].toSorted());
        const { value } = examples["validation_failed"] ?? { value: {} };
        // `as`: examples match the problem schema.
        const { errors = [] } = value as { errors?: { field: string }[] };
        for (const { field } of errors) expect(fields).toContain(field);
      }
    }
  });
});

test("OpenAPI document: descriptions of error responses begin with the title of the actual response", async () => {
  const { post, get } = createService();
  const { body } = await get("/swagger/json");
  // `as`: redocly checks that it is an OpenAPI document.
  const paths = body["paths"] as Record<
    string,
    Record<string, { responses: Record<string, { description: string }> }>
  >;
  const { responses } = paths["/register"]?.["post"] ?? { responses: {} };
  for (const [json, headers] of [
    ["x".repeat(17_000), {}],
    ["{}", {}],
    ["{}", { "content-type": "text/plain" }],
  ] as const) {
    const { status, body } = await post("/register", json, headers);
    const [phrase] = responses[status]?.description.split("\n") ?? [];
    expect([status, phrase]).toEqual([status, String(body["title"])]);
  }
});
