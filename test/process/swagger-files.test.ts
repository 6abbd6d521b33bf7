import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { createStaticFile } from "../../src/http/static-file.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

// Uses a real socket, because the server merges the tested headers only there.

const folder = temporaryFolder();
let service: Awaited<ReturnType<typeof spawnService>>;

beforeAll(async () => {
  service = await spawnService({ DATABASE_URL: `file:${join(folder.path, "x.db")}` });
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const request = (path: string, headers: Record<string, string> = {}, method = "GET") =>
  fetch(service.url + path, { method, headers, decompress: false });

const FILES = [
  "/swagger",
  "/swagger/json",
  "/swagger/page.js",
  "/swagger/page.css",
  "/swagger/swagger-ui-bundle.js",
  "/swagger/swagger-ui.css",
];

describe.each(FILES)("%s", (path) => {
  test("is cached and revalidated by its ETag", async () => {
    const first = await request(path, { "accept-encoding": "identity" });
    expect([first.status, first.headers.get("cache-control")]).toEqual([200, "no-cache"]);
    const etag = String(first.headers.get("etag"));
    for (const ifNoneMatch of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const again = await request(path, {
        "accept-encoding": "identity",
        "if-none-match": ifNoneMatch,
      });
      expect([ifNoneMatch, again.status, await again.text()]).toEqual([ifNoneMatch, 304, ""]);
      expect(again.headers.get("etag")).toBe(etag);
      expect(again.headers.get("cache-control")).toBe("no-cache");
    }
    const changed = await request(path, {
      "accept-encoding": "identity",
      "if-none-match": '"other"',
    });
    expect(changed.status).toBe(200);
  });

  test("is compressed for clients that accept gzip, with a different ETag", async () => {
    const plain = await request(path, { "accept-encoding": "gzip;q=0, br" });
    expect(plain.headers.get("content-encoding")).toBeNull();
    const body = await plain.bytes();
    for (const accepted of ["gzip", "br, GZIP;q=0.5", "deflate, gzip; q=1.0"]) {
      const compressed = await request(path, { "accept-encoding": accepted });
      expect([accepted, compressed.headers.get("content-encoding")]).toEqual([accepted, "gzip"]);
      expect(compressed.headers.get("vary")).toBe("Accept-Encoding, Origin");
      expect(compressed.headers.get("etag")).not.toBe(plain.headers.get("etag"));
      const bytes = await compressed.bytes();
      expect(Bun.hash(gunzipSync(bytes))).toBe(Bun.hash(body));
      if (body.length > 5000) expect(bytes.length).toBeLessThan(body.length / 2.5);
    }
  });

  test("returns the same headers for HEAD as for GET, without the body", async () => {
    const head = await request(path, { "accept-encoding": "identity" }, "HEAD");
    const get = await request(path, { "accept-encoding": "identity" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    for (const name of ["etag", "content-type", "cache-control"]) {
      expect([name, head.headers.get(name)]).toEqual([name, get.headers.get(name)]);
    }
  });
});

test("Swagger UI has a CSP that blocks foreign content, and can't be framed", async () => {
  const { headers } = await request("/swagger");
  const policy = headers.get("content-security-policy")?.split("; ");
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy?.join()).not.toContain("unsafe");
  expect(headers.get("x-frame-options")).toBe("DENY");
});

test("a static file is read again after a failed read", async () => {
  const reads = [Promise.reject(new Error("too many open files")), Promise.resolve("content")];
  const answer = createStaticFile("text/css", async () => String(await reads.shift()));
  const request = new Request("http://localhost/swagger/page.css");
  await expect(answer(request)).rejects.toThrow("too many open files");
  expect(await (await answer(request)).text()).toBe("content");
  expect(await (await answer(request)).text()).toBe("content");
});
