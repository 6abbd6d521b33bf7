import { ValueErrorType } from "@sinclair/typebox/errors";
import { type Context, type Elysia, ValidationError } from "elysia";
import type { Log } from "../log.ts";
import { type RefusalCode, Unavailable } from "../refusals.ts";
import { refuse } from "./problems.ts";
import { expectation } from "./schemas.ts";

const MAX_BODY_BYTES = 16 * 1024;

const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

type Answer = Context["set"];

/** A body without a declared length turned out to be longer than is read. */
class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/**
 * What every request passes before a room sees it, and what becomes of everything that goes wrong:
 * checks what can be known before the body is read, and answers each fault with problem details.
 */
export function frontDoor({ log, randomId }: { log: Log; randomId: () => string }) {
  return (app: Elysia) =>
    app
      .onRequest((context) => {
        const { request, set } = context;
        set.headers["x-request-id"] = requestId(request) ?? randomId();
        set.headers["x-content-type-options"] = "nosniff";
        if (request.method !== "POST" && request.method !== "PUT") return;
        const refused = refusedBody(request);
        if (refused !== undefined) return refuse(set, unroutable(app, request, set) ?? refused);
        if (!request.headers.has("content-length")) context.request = counted(request);
        return;
      })
      .onError({ as: "global" }, ({ code, error, request, set }) => {
        if (code === "NOT_FOUND") return refuse(set, unroutable(app, request, set) ?? "not_found");
        if (code === "PARSE") {
          return refuse(
            set,
            error.cause instanceof BodyTooLarge ? "body_too_large" : "invalid_json",
          );
        }
        if (error instanceof ValidationError && error.type === "body") {
          return refuse(set, "validation_failed", { errors: fieldErrors(error) });
        }
        log.error(`Request ${set.headers["x-request-id"]} failed.`, error);
        return refuse(set, error instanceof Unavailable ? "unavailable" : "internal_error");
      });
}

/** The client's own name for the request, if it is fit to be printed and sent back. */
function requestId(request: Request): string | undefined {
  const id = request.headers.get("x-request-id");
  return id !== null && REQUEST_ID.test(id) ? id : undefined;
}

/** Why the body of this request is not read, if it isn't. */
function refusedBody({ headers }: Request): RefusalCode | undefined {
  const [mediaType = ""] = (headers.get("content-type") ?? "").split(";", 1);
  // Anything else a page of a stranger could post from the owner's browser without asking.
  if (mediaType.trim().toLowerCase() !== "application/json") return "unsupported_media_type";
  return Number(headers.get("content-length")) > MAX_BODY_BYTES ? "body_too_large" : undefined;
}

/** The same request, whose body breaks off when it gets too long. */
function counted(request: Request): Request {
  if (request.body === null) return request;
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

/** Why no room takes this request, if none does; names the methods that the path takes. */
function unroutable(app: Elysia, { url, method }: Request, set: Answer): RefusalCode | undefined {
  const { pathname } = new URL(url);
  const methods = app.routes
    .filter(({ path }) => matches(path, pathname))
    .map((route) => route.method);
  if (methods.length === 0) return "not_found";
  if (methods.includes(method)) return undefined;
  set.headers["allow"] = methods.flatMap((m) => (m === "GET" ? ["GET", "HEAD"] : [m])).join(", ");
  return "method_not_allowed";
}

function matches(path: string, pathname: string): boolean {
  const pattern = path.split("/");
  // The router takes a trailing slash for none as well.
  const segments = pathname.replace(/(?<=.)\/$/, "").split("/");
  return (
    pattern.length === segments.length &&
    pattern.every((name, at) => name.startsWith(":") || name === segments[at])
  );
}

/** What is wrong with the body, member by member, without a word of what was sent. */
function fieldErrors(error: ValidationError): { field: string; message: string }[] {
  const byField = new Map<string, string>();
  for (const fault of error.all) {
    if (!("schema" in fault)) continue;
    const field = fault.path.slice(1) || "body";
    // The first is the most telling: a member that is missing is reported a second time as no string.
    if (byField.has(field)) continue;
    const missing = fault.type === ValueErrorType.ObjectRequiredProperty;
    byField.set(field, missing ? "is missing" : `must be ${expectation(fault.schema)}`);
  }
  return Array.from(byField, ([field, message]) => ({ field, message }));
}
