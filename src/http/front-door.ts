import type { TSchema } from "@sinclair/typebox";
import type { TypeCheck } from "@sinclair/typebox/compiler";
import { ValueErrorType } from "@sinclair/typebox/errors";
import { type Context, type Elysia, ValidationError } from "elysia";
import type { Log } from "../log.ts";
import { type RefusalCode, Unavailable } from "../refusals.ts";
import type { Settings } from "../settings.ts";
import { createHostCheck } from "./allowed-hosts.ts";
import { admits, type Caller } from "./keys.ts";
import { refuse } from "./problems.ts";
import { createRouteFinder, type Route } from "./route-map.ts";
import { expectation } from "./schemas.ts";

const MAX_BODY_BYTES = 16 * 1024;

const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

export interface FrontDoorParts {
  readonly log: Log;
  readonly randomId: () => string;
  readonly callerOf: (headers: Headers) => Caller;
  readonly settings: Pick<Settings, "allowedHosts">;
}

/** A body without a declared length turned out to be longer than is read. */
class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/**
 * What every request passes before a room sees it, and what becomes of everything that goes wrong:
 * checks what can be known before the body is read, and answers each fault with problem details.
 */
export function frontDoor({ log, randomId, callerOf, settings }: FrontDoorParts) {
  const isAllowedHost = createHostCheck(settings.allowedHosts);

  // The type that is promised has no answers: those given here stand in the document by themselves.
  return (app: Elysia): Elysia => {
    const routesFor = createRouteFinder(app);

    /** Why the request is not let in, if it isn't; the first reason there is, in the contract's order. */
    function turnedAway(request: Request, set: Context["set"]): RefusalCode | undefined {
      const { method, headers } = request;
      if (!isAllowedHost(headers.get("host"))) return "invalid_host";
      const routes = routesFor(request);
      const route = routes?.get(method === "HEAD" ? "GET" : method);
      const caller = callerOf(headers);
      if (!admits(route?.access ?? "client", caller)) {
        return caller === "stranger" ? "missing_api_key" : "invalid_api_key";
      }
      if (routes === undefined) return "not_found";
      if (route === undefined) {
        set.headers["allow"] = allowedMethods(routes);
        return "method_not_allowed";
      }
      return method === "POST" || method === "PUT" ? refusedBody(headers) : undefined;
    }

    app
      .onRequest((context) => {
        const { request, set } = context;
        set.headers["x-request-id"] = requestId(request.headers) ?? randomId();
        set.headers["x-content-type-options"] = "nosniff";
        const code = turnedAway(request, set);
        if (code === "method_not_allowed" && request.method === "OPTIONS") {
          set.status = 204;
          return "";
        }
        if (code !== undefined) return refuse(set, code);
        if (declaredLength(request.headers) === undefined) context.request = counted(request);
        return;
      })
      .onError({ as: "global" }, ({ code, error, set }) => {
        if (code === "NOT_FOUND") return refuse(set, "not_found");
        if (code === "PARSE") {
          const { cause } = error;
          return refuse(set, cause instanceof BodyTooLarge ? "body_too_large" : "invalid_json");
        }
        if (error instanceof ValidationError && error.type === "body") {
          return refuse(set, "validation_failed", { errors: fieldErrors(error) });
        }
        log.error(`Request ${set.headers["x-request-id"]} failed.`, error);
        return refuse(set, error instanceof Unavailable ? "unavailable" : "internal_error");
      });
    return app;
  };
}

/** The client's own name for the request, if it is fit to be printed and sent back. */
function requestId(headers: Headers): string | undefined {
  const id = headers.get("x-request-id");
  return id !== null && REQUEST_ID.test(id) ? id : undefined;
}

function allowedMethods(routes: ReadonlyMap<string, Route>): string {
  const methods = Array.from(routes.keys(), (method) => (method === "GET" ? "GET, HEAD" : method));
  return [...methods, "OPTIONS"].join(", ");
}

/** Why the body of this request is not read, if it isn't. */
function refusedBody(headers: Headers): RefusalCode | undefined {
  // Anything else a page of a stranger could post from the owner's browser without asking.
  if (!isJson(headers.get("content-type") ?? "")) return "unsupported_media_type";
  return (declaredLength(headers) ?? 0) > MAX_BODY_BYTES ? "body_too_large" : undefined;
}

function isJson(contentType: string): boolean {
  if (contentType === "application/json") return true;
  return contentType.split(";", 1)[0]?.trim().toLowerCase() === "application/json";
}

function declaredLength(headers: Headers): number | undefined {
  const length = headers.get("content-length");
  return length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
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

/** What is wrong with the body, member by member, without a word of what was sent. */
function fieldErrors(error: ValidationError): { field: string; message: string }[] {
  const byField = new Map<string, string>();
  // Not `error.all`, which turns what was sent into strings.
  // `as`: the framework keeps the validator that has failed, which TypeBox has compiled.
  const validator = error.validator as TypeCheck<TSchema>;
  for (const fault of validator.Errors(error.value)) {
    const field = fault.path.slice(1) || "body";
    // The first is the most telling: a member that is missing is reported a second time as no string.
    if (byField.has(field)) continue;
    const missing = fault.type === ValueErrorType.ObjectRequiredProperty;
    byField.set(field, missing ? "is missing" : `must be ${expectation(fault.schema)}`);
  }
  return Array.from(byField, ([field, message]) => ({ field, message }));
}
