import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { createStaticFile } from "../../src/http/static-file.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

// What a browser loads for Swagger UI, over a real socket: there the headers are merged that matter here.

const folder = temporaryFolder();
let service: Awaited<ReturnType<typeof spawnService>>;

beforeAll(async () => {
  service = await spawnService({ DATABASE_URL: `file:${join(folder.path, "x.db")}` });
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const ask = (path: string, headers: Record<string, string> = {}, method = "GET") =>
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
  test("is kept by a browser that asks each time whether it still holds", async () => {
    const first = await ask(path, { "accept-encoding": "identity" });
    expect([first.status, first.headers.get("cache-control")]).toEqual([200, "no-cache"]);
    const etag = String(first.headers.get("etag"));
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const again = await ask(path, { "accept-encoding": "identity", "if-none-match": known });
      expect([known, again.status, await again.text()]).toEqual([known, 304, ""]);
      expect(again.headers.get("etag")).toBe(etag);
      expect(again.headers.get("cache-control")).toBe("no-cache");
    }
    const changed = await ask(path, { "accept-encoding": "identity", "if-none-match": '"other"' });
    expect(changed.status).toBe(200);
  });

  test("comes compressed to those who take it, under another ETag", async () => {
    const plain = await ask(path, { "accept-encoding": "gzip;q=0, br" });
    expect(plain.headers.get("content-encoding")).toBeNull();
    const whole = await plain.bytes();
    for (const accepted of ["gzip", "br, GZIP;q=0.5", "deflate, gzip; q=1.0"]) {
      const packed = await ask(path, { "accept-encoding": accepted });
      expect([accepted, packed.headers.get("content-encoding")]).toEqual([accepted, "gzip"]);
      expect(packed.headers.get("vary")).toBe("Accept-Encoding");
      expect(packed.headers.get("etag")).not.toBe(plain.headers.get("etag"));
      const bytes = await packed.bytes();
      expect(Bun.hash(gunzipSync(bytes))).toBe(Bun.hash(whole));
      if (whole.length > 5000) expect(bytes.length).toBeLessThan(whole.length / 2.5);
    }
  });

  test("has its headers without its body for HEAD", async () => {
    const head = await ask(path, { "accept-encoding": "identity" }, "HEAD");
    const get = await ask(path, { "accept-encoding": "identity" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    for (const name of ["etag", "content-type", "cache-control"]) {
      expect([name, head.headers.get(name)]).toEqual([name, get.headers.get(name)]);
    }
  });
});

test("the page says that nothing but ours may run in it, and that no page may frame it", async () => {
  const { headers } = await ask("/swagger");
  const policy = headers.get("content-security-policy")?.split("; ");
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy?.join()).not.toContain("unsafe");
  expect(headers.get("x-frame-options")).toBe("DENY");
});

test("a file that could not be read once is read again when it is next asked for", async () => {
  const reads = [Promise.reject(new Error("too many open files")), Promise.resolve("content")];
  const answer = createStaticFile("text/css", async () => Buffer.from(String(await reads.shift())));
  const request = new Request("http://localhost/swagger/page.css");
  await expect(answer(request)).rejects.toThrow("too many open files");
  expect(await (await answer(request)).text()).toBe("content");
  expect(await (await answer(request)).text()).toBe("content");
});
