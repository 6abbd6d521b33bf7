/** The framework's own reading would put U+FFFD for what is no UTF-8, and the database would keep that. */
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The request, whose `json()` rejects a body that is no UTF-8, which JSON has to be (RFC 8259, section 8.1). */
export function readStrictly(request: Request): Request {
  return Object.assign(request, { json: readJson });
}

function readJson(this: Request): Promise<unknown> {
  return this.arrayBuffer().then(parse);
}

function parse(bytes: ArrayBuffer): unknown {
  return JSON.parse(utf8.decode(bytes));
}
