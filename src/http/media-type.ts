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
