import { describe, expect, test } from "bun:test";
import { PROBLEMS } from "../../src/http/problems.ts";
import { compileStrictly, readDocument } from "../support/contract.ts";
import { createService } from "../support/service.ts";

async function text(path: string): Promise<{ type: string | null; body: string }> {
  const { app } = createService();
  const response = await app.http.handle(
    new Request(`http://localhost${path}`, { headers: { host: "localhost" } }),
  );
  expect(response.status).toBe(200);
  return { type: response.headers.get("content-type"), body: await response.text() };
}

describe("Swagger UI", () => {
  test("loads nothing from other hosts", async () => {
    for (const path of ["/swagger", "/swagger/"]) {
      const { type, body } = await text(path);
      expect(type).toBe("text/html;charset=utf-8");
      expect(body).not.toMatch(/https?:|"\/\//);
      const assets = Array.from(body.matchAll(/(?:src|href)="(\/[^"]+)"/g), ([, asset]) => asset);
      expect(assets).toHaveLength(4);
      for (const asset of assets) expect((await text(String(asset))).body).not.toBe("");
    }
  });

  test("has example bodies that work on a new database", async () => {
    const { get, post } = createService();
    const { body } = await get("/swagger/json");
    // `as`: the part of an OpenAPI document that this test uses.
    const paths = body["paths"] as Record<
      string,
      { post: { requestBody: { content: Record<string, { example: unknown }> } } }
    >;
    for (const path of ["/register", "/create_order"]) {
      const media = paths[path]?.post.requestBody.content["application/json"];
      expect((await post(path, media?.example)).status).toBe(200);
    }
  });

  test("has an example tariff that changes no existing tariff", async () => {
    const { get, put } = createService();
    const before = (await get("/tariffs")).body;
    const { body } = await get("/swagger/json");
    // `as`: the part of an OpenAPI document that this test uses.
    const paths = body["paths"] as Record<
      string,
      {
        put: {
          parameters: { example: string }[];
          requestBody: { content: Record<string, { example: unknown }> };
        };
      }
    >;
    const operation = paths["/tariffs/{code}"]?.put;
    const example = operation?.requestBody.content["application/json"]?.example;
    expect((await put(`/tariffs/${operation?.parameters[0]?.example}`, example)).status).toBe(200);
    expect(Array.from(Object.values((await get("/tariffs")).body))).toEqual(
      expect.arrayContaining(Object.values(before)),
    );
  });

  test("has a valid example of every error code", async () => {
    const document = await readDocument();
    const seen = new Set<string>();
    for (const operations of Object.values(document.paths)) {
      for (const { responses } of Object.values(operations)) {
        for (const [status, { description, content }] of Object.entries(responses)) {
          const problem = content["application/problem+json"];
          if (problem === undefined) continue;
          const isAllowed = compileStrictly(problem.schema, document);
          for (const [code, { summary, value }] of Object.entries(problem.examples ?? {})) {
            expect(value).toMatchObject({ code, status: Number(status), detail: summary });
            expect(isAllowed(value)).toBe(true);
            expect(description).toContain(`\`${code}\`: ${summary}`);
            seen.add(code);
          }
        }
      }
    }
    // Only unknown paths and methods return these, and they are not operations.
    expect(Object.keys(PROBLEMS).filter((code) => !seen.has(code))).toEqual([
      "not_found",
      "method_not_allowed",
    ]);
  });

  test("documents every endpoint, before and after requests", async () => {
    const { get, post, app } = createService();
    const document = async () => JSON.stringify((await get("/swagger/json")).body);
    const before = await document();
    await post("/register", {});
    await get("/nope");
    expect(await document()).toBe(before);
    const endpoints = app.http.routes.filter(({ path }) => !/^\/(swagger|board)/.test(path));
    const documented = Object.keys(JSON.parse(before).paths);
    const declared = endpoints.map(({ path }) => path.replace(/:(\w+)/g, "{$1}"));
    expect(documented.toSorted()).toEqual([...new Set(declared)].toSorted());
  });

  test("documents the media type of each response", async () => {
    const { body } = await createService().get("/swagger/json");
    for (const [path, operations] of Object.entries(body["paths"] as object)) {
      for (const { responses } of Object.values(
        operations as Record<string, { responses: object }>,
      )) {
        for (const [status, { content, description }] of Object.entries(responses)) {
          const types = Object.keys(content);
          if (Number(status) >= 400) expect(types).toEqual(["application/problem+json"]);
          else expect(types).toEqual([path === "/metrics" ? "text/plain" : "application/json"]);
          expect(description).not.toBe("");
        }
      }
    }
  });
});
