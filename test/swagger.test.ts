import { describe, expect, test } from "bun:test";
import { createService } from "./support/service.ts";

async function text(path: string): Promise<{ type: string | null; body: string }> {
  const { app } = createService();
  const response = await app.http.handle(
    new Request(`http://localhost${path}`, { headers: { host: "localhost" } }),
  );
  expect(response.status).toBe(200);
  return { type: response.headers.get("content-type"), body: await response.text() };
}

describe("Swagger UI", () => {
  test("is a page of our own that loads nothing from another host", async () => {
    for (const path of ["/swagger", "/swagger/"]) {
      const { type, body } = await text(path);
      expect(type).toBe("text/html;charset=utf-8");
      expect(body).not.toMatch(/https?:|"\/\//);
      for (const [, asset] of body.matchAll(/(?:src|href)="(\/[^"]+)"/g)) {
        expect((await text(String(asset))).body.length).toBeGreaterThan(1000);
      }
    }
  });

  test("has bodies to try that work on a fresh database", async () => {
    const { get, post } = createService();
    const { body } = await get("/swagger/json");
    // `as`: the shape of an OpenAPI document, as far as it matters here.
    const paths = body["paths"] as Record<
      string,
      { post: { requestBody: { content: Record<string, { example: unknown }> } } }
    >;
    for (const path of ["/register", "/create_order"]) {
      const media = paths[path]?.post.requestBody.content["application/json"];
      expect((await post(path, media?.example)).status).toBe(200);
    }
  });

  test("has a document that is the same before and after requests", async () => {
    const { get, post, app } = createService();
    const document = async () => JSON.stringify((await get("/swagger/json")).body);
    const before = await document();
    await post("/register", {});
    await get("/nope");
    expect(await document()).toBe(before);
    const endpoints = app.http.routes.filter(({ path }) => !path.startsWith("/swagger"));
    const documented = Object.keys(JSON.parse(before).paths);
    const declared = endpoints.map(({ path }) => path.replace(/:(\w+)/g, "{$1}"));
    expect(documented.toSorted()).toEqual([...new Set(declared)].toSorted());
  });

  test("says of each answer in which media type it comes", async () => {
    const { body } = await createService().get("/swagger/json");
    for (const operations of Object.values(body["paths"] as object)) {
      for (const { responses } of Object.values(
        operations as Record<string, { responses: object }>,
      )) {
        for (const [status, { content, description }] of Object.entries(responses)) {
          const type = Number(status) < 400 ? "application/json" : "application/problem+json";
          expect(Object.keys(content)).toEqual([type]);
          expect(description).not.toBe("");
        }
      }
    }
  });
});
