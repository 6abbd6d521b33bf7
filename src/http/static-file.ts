import { promisify } from "node:util";
import { gzip } from "node:zlib";

// Beside the event loop: 1.7 MB take 60 ms, in which no order could be answered.
const compress = promisify(gzip);

/** What a browser may keep, if it asks each time whether it still holds: an upgrade is seen at once. */
const CACHE_CONTROL = "no-cache";

interface Representation {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Answers requests for one file that stays as it is while the process runs, compressed where the client
 * takes that, and with 304 where it has it already (RFC 9110, sections 8.8.3, 12.5.3 and 13.1.2). It is read
 * when it is first asked for.
 */
export function createStaticFile(
  mediaType: string,
  read: () => Promise<Uint8Array>,
  moreHeaders: Readonly<Record<string, string>> = {},
): (request: Request) => Promise<Response> {
  let loaded: Promise<Record<"plain" | "gzip", Representation>> | undefined;

  async function load() {
    const bytes = new Uint8Array(await read());
    const compressed = new Uint8Array(await compress(bytes));
    const tag = new Bun.CryptoHasher("sha256").update(bytes).digest("base64url");
    const common = {
      ...moreHeaders,
      "content-type": `${mediaType};charset=utf-8`,
      "cache-control": CACHE_CONTROL,
      vary: "Accept-Encoding",
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
      // Such as too many open files: that passes, and the next request reads it again.
      loaded = undefined;
      throw error;
    });
    const variant = acceptsGzip(headers.get("accept-encoding")) ? "gzip" : "plain";
    const { bytes, headers: own } = (await loaded)[variant];
    return isKnown(headers.get("if-none-match"), own["etag"] ?? "")
      ? new Response(null, { status: 304, headers: own })
      : new Response(bytes, { headers: own });
  };
}

/** Checks whether the header names gzip with a weight above 0; `*` is not enough. */
export function acceptsGzip(acceptEncoding: string | null): boolean {
  const codings = (acceptEncoding ?? "").toLowerCase().split(",");
  return codings.some((coding) =>
    /^\s*(x-)?gzip\s*(;\s*q=(0?\.\d*[1-9]\d*|1(\.0*)?)\s*)?$/.test(coding),
  );
}

/** Compared weakly, as `If-None-Match` is (RFC 9110, section 13.1.2). */
function isKnown(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false;
  const known = ifNoneMatch.split(",").map((one) => one.trim().replace(/^W\//, ""));
  return known.includes(etag) || known.includes("*");
}
