import { promisify } from "node:util";

/** Browsers revalidate on each use, so an upgrade takes effect immediately. */
const CACHE_CONTROL = "no-cache";

interface Representation {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Returns a handler for one file that does not change while the process runs. Reads it on the first
 * request. Sends gzip if the client accepts it, and 304 if the client's copy is current (RFC 9110,
 * sections 8.8.3, 12.5.3 and 13.1.2).
 */
export function createStaticFile(
  mediaType: string,
  content: string | Blob | (() => Promise<string>),
  extraHeaders: Readonly<Record<string, string>> = {},
): (request: Request) => Promise<Response> {
  let loaded: Promise<Record<"plain" | "gzip", Representation>> | undefined;

  async function load() {
    const found = typeof content === "function" ? await content() : content;
    const bytes = new Uint8Array(await new Response(found).arrayBuffer());
    const compressed = await compress(bytes);
    const tag = new Bun.CryptoHasher("sha256").update(bytes).digest("base64url");
    const common = {
      ...extraHeaders,
      "content-type": `${mediaType};charset=utf-8`,
      "cache-control": CACHE_CONTROL,
      // Replaces the `Vary: Origin` that CORS sets.
      vary: "Accept-Encoding, Origin",
    };
    return {
      plain: { bytes, headers: { ...common, etag: `"${tag}"` } },
      gzip: {
        bytes: compressed,
        headers: { ...common, "content-encoding": "gzip", etag: `"${tag}-gzip"` },
      },
    };
  }

  return async function answer({ headers }: Request): Promise<Response> {
    loaded ??= load().catch((error: unknown) => {
      // Possibly temporary, such as too many open files: the next request retries.
      loaded = undefined;
      throw error;
    });
    const variant = acceptsGzip(headers.get("accept-encoding")) ? "gzip" : "plain";
    const { bytes, headers: own } = (await loaded)[variant];
    return matchesEtag(headers.get("if-none-match"), own["etag"] ?? "")
      ? new Response(null, { status: 304, headers: own })
      : new Response(bytes, { headers: own });
  };
}

/**
 * Compresses with gzip, off the event loop: 1.7 MB take 60 ms, which would block requests. Loads
 * the library on the first call, because it would add 10 ms to each start.
 */
export async function compress(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const { gzip } = await import("node:zlib");
  return new Uint8Array(await promisify(gzip)(bytes));
}

/** Returns whether gzip is listed and not refused; `*` does not count. */
export function acceptsGzip(acceptEncoding: string | null): boolean {
  const codings = (acceptEncoding ?? "").toLowerCase().split(",");
  return codings.some((coding) =>
    /^\s*(x-)?gzip\s*(;\s*q=(0?\.\d*[1-9]\d*|1(\.0*)?)\s*)?$/.test(coding),
  );
}

/** Compares weakly, as required for `If-None-Match` (RFC 9110, section 13.1.2). */
function matchesEtag(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false;
  const tags = ifNoneMatch.split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  return tags.includes(etag) || tags.includes("*");
}
