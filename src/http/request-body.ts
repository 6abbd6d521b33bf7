/** A media type parameter, with a bare or quoted value (RFC 9110, section 5.6.6). */
const PARAMETER = /;\s*([^\s;=]+)=("(?:[^"\\]|\\.)*"|[^;]*)/g;

/**
 * Returns whether the body is declared as unencoded UTF-8 JSON. Accepts `application/json` in any
 * case, with any parameters except a different `charset`, and no `Content-Encoding` except
 * `identity`.
 */
export function isPlainJson(headers: Headers): boolean {
  const contentEncoding = headers.get("content-encoding");
  if (contentEncoding !== null && contentEncoding.toLowerCase() !== "identity") return false;
  const contentType = headers.get("content-type");
  // Fast path: almost every client sends this.
  if (contentType === "application/json") return true;
  if (contentType === null || !/^\s*application\/json\s*(;|$)/i.test(contentType)) return false;
  return isUtf8(contentType);
}

/** Returns whether the body is declared as an unencoded HTML form in UTF-8. */
export function isForm(headers: Headers): boolean {
  const isPlain = headers.get("content-encoding") === null;
  const contentType = headers.get("content-type") ?? "";
  return (
    isPlain &&
    /^application\/x-www-form-urlencoded\s*(;|$)/i.test(contentType) &&
    isUtf8(contentType)
  );
}

/** Returns whether a media type has no other `charset`. */
function isUtf8(contentType: string): boolean {
  return Array.from(contentType.matchAll(PARAMETER)).every(
    ([, name, value = ""]) =>
      name?.toLowerCase() !== "charset" || /^(utf-?8|"utf-?8")\s*$/i.test(value),
  );
}

const MAX_BODY_BYTES = 16 * 1024;

/** A body without a declared length exceeded 16 KiB. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/** Returns whether the declared length exceeds 16 KiB. */
export function isDeclaredTooLarge(headers: Headers): boolean {
  return (declaredLength(headers) ?? 0) > MAX_BODY_BYTES;
}

/**
 * Returns the request unchanged if it declares a length; otherwise its body fails with
 * `BodyTooLarge` after 16 KiB.
 */
export function limitBody(request: Request): Request {
  if (declaredLength(request.headers) !== undefined || request.body === null) return request;
  let bytes = 0;
  const limit = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.byteLength;
      if (bytes > MAX_BODY_BYTES) controller.error(new BodyTooLarge());
      else controller.enqueue(chunk);
    },
  });
  return new Request(request, { body: request.body.pipeThrough(limit) });
}

function declaredLength(headers: Headers): number | undefined {
  const length = headers.get("content-length");
  return length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
}

/** The framework would replace invalid UTF-8 with U+FFFD, which would then be stored. */
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Makes `json()` of the request reject invalid UTF-8 (RFC 8259, section 8.1). */
export function readStrictly(request: Request): Request {
  return Object.assign(request, { json: readJson });
}

function readJson(this: Request): Promise<unknown> {
  return this.arrayBuffer().then(parseJson);
}

function parseJson(bytes: ArrayBuffer): unknown {
  return JSON.parse(utf8.decode(bytes));
}

/**
 * Reads the fields of a form. Resolves to undefined if the body is not valid UTF-8 or
 * percent-encoding, or if the client closed the connection early. Rejects with `BodyTooLarge`.
 */
export async function readForm(request: Request): Promise<URLSearchParams | undefined> {
  try {
    const fields = utf8.decode(await request.arrayBuffer()).split("&");
    const form = new URLSearchParams();
    for (const field of fields.filter(Boolean)) {
      const [name = "", ...value] = field.split("=");
      form.append(decode(name), decode(value.join("=")));
    }
    return form;
  } catch (error) {
    if (error instanceof BodyTooLarge) throw error;
    return undefined;
  }
}

/** Unlike `URLSearchParams`, throws on malformed input instead of inserting U+FFFD. */
function decode(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}
