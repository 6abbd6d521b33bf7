import { expect, test, setDefaultTimeout } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { treaty } from "@elysiajs/eden";
import type { App } from "../src/app.ts";
import { spawnService, temporaryFolder } from "./support/process.ts";
import { createService } from "./support/service.ts";
import { BUSY_MACHINE_MS } from "./support/busy-machine.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const ROOT = join(import.meta.dir, "..");

test.each([
  ["redocly", ["lint", "--config", "test/support/redocly.yaml", "--format", "stylish"]],
  ["spectral", ["lint", "--ruleset", "test/support/spectral.yaml", "--fail-severity", "warn"]],
])("%s finds neither an error nor a warning in the document", async (linter, args) => {
  using folder = temporaryFolder();
  const path = join(folder.path, "openapi.json");
  writeFileSync(path, JSON.stringify((await createService().get("/swagger/json")).body));
  const lint = Bun.spawn([process.execPath, "x", linter, ...args, path], {
    cwd: ROOT,
    // They would report each run to their makers.
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

test("each operation has a name, words, and every status with a schema", async () => {
  const { body } = await createService().get("/swagger/json");
  // `as`: an OpenAPI document, which the linters have read.
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

test("the document and the answers have the same phrase for each status", async () => {
  const { post, get } = createService();
  const { body } = await get("/swagger/json");
  // `as`: an OpenAPI document, which the linters have read.
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

test("a client in TypeScript has the types of the service", async () => {
  using folder = temporaryFolder();
  await using service = await spawnService({ DATABASE_URL: `file:${join(folder.path, "x.db")}` });
  const api = treaty<App>(service.url);
  const { data: user } = await api.register.post({ phone_number: "+998901234567" });
  const { data, error } = await api.create_order.post({
    user_id: user?.user_id ?? 0,
    tariff_code: "standard_300",
  });
  if (error) throw new Error(error.value.code);
  const orderId: number = data.order_id;
  expect([data.status, orderId]).toEqual(["ok", 1]);

  const refused = await api.create_order.post({ user_id: 99, tariff_code: "standard_300" });
  expect(refused.error?.status).toBe(404);
  if (refused.error?.status !== 404) throw new Error("not refused");
  const code: "user_not_found" | "tariff_not_found" = refused.error.value.code;
  expect(code).toBe("user_not_found");

  // @ts-expect-error: the types know that a number is no phone number.
  const wrong = await api.register.post({ phone_number: 5 });
  expect(wrong.error?.status).toBe(422);
});
