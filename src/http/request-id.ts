const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** The client's own id for the request, if it is fit to be printed and sent back; else undefined. */
export function readRequestId(headers: Headers): string | undefined {
  const id = headers.get("x-request-id");
  return id !== null && REQUEST_ID.test(id) ? id : undefined;
}
