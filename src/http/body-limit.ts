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
