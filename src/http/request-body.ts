/** A parameter of a media type (RFC 9110, section 5.6.6): its value bare or in double quotes. */
const PARAMETER = /;\s*([^\s;=]+)=("(?:[^"\\]|\\.)*"|[^;]*)/g;

/**
 * Whether a body is declared as JSON that is read as it is sent: `application/json` in any case and with
 * any parameters, no `charset` but UTF-8, no `Content-Encoding`.
 */
export function isPlainJson(headers: Headers): boolean {
  const contentEncoding = headers.get("content-encoding");
  if (contentEncoding !== null && contentEncoding.toLowerCase() !== "identity") return false;
  const contentType = headers.get("content-type");
  // What almost every client sends.
  if (contentType === "application/json") return true;
  if (contentType === null || !/^\s*application\/json\s*(;|$)/i.test(contentType)) return false;
  return Array.from(contentType.matchAll(PARAMETER)).every(
    ([, name, value]) => name?.toLowerCase() !== "charset" || isUtf8(value ?? ""),
  );
}

/** Whether a body is declared as what a form of a page sends. */
export function isForm(headers: Headers): boolean {
  const isPlain = headers.get("content-encoding") === null;
  const contentType = headers.get("content-type") ?? "";
  return isPlain && /^application\/x-www-form-urlencoded\s*(;|$)/i.test(contentType);
}

function isUtf8(charset: string): boolean {
  return /^(utf-?8|"utf-?8")\s*$/i.test(charset);
}

const MAX_BODY_BYTES = 16 * 1024;

/** A body without a declared length turned out to be longer than is read. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/** Whether the body is longer than is read, by its own declaration. */
export function isDeclaredTooLarge(headers: Headers): boolean {
  return (declaredLength(headers) ?? 0) > MAX_BODY_BYTES;
}

/** The request; where it declares no length, with a body that breaks off with `BodyTooLarge`. */
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

/** The framework's own reading would put U+FFFD for what is no UTF-8, and the database would keep that. */
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The request, whose `json()` rejects a body that is no UTF-8, which JSON has to be (RFC 8259, section 8.1). */
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
 * Reads the fields of a form. Resolves to undefined if the body is not valid UTF-8 or percent-encoding, or
 * if the client closed the connection early. Rejects with `BodyTooLarge`.
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

/** Unlike `URLSearchParams`, throws on malformed input instead of putting U+FFFD into the text. */
function decode(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}
