import type { TSchema } from "@sinclair/typebox";
import type { TypeCheck } from "@sinclair/typebox/compiler";
import { ValueErrorType } from "@sinclair/typebox/errors";
import { type Context, type Elysia, ValidationError } from "elysia";
import type { Config } from "../config.ts";
import { Unavailable } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../ports.ts";
import { createRateLimit } from "../lib/rate-limit.ts";
import { type AccessControl, allowHeader, createHostCheck, isAllowed } from "./access.ts";
import {
  isDeclaredTooLarge,
  isForm,
  isPlainJson,
  limitBody,
  readStrictly,
  BodyTooLarge,
} from "./request-body.ts";
import { createCors } from "./cors.ts";
import { type ErrorCode, problem } from "./problems.ts";
import { requestIdOf } from "./request-log.ts";
import { expectation } from "./schemas.ts";

/** Limits log lines: anyone can send requests with a wrong `Host`. */
const HOST_WARNINGS_PER_MINUTE = 10;
const MAX_LOGGED_HOST = 100;

interface GuardDependencies {
  readonly log: Log;
  readonly now: Clock;
  readonly randomId: () => string;
  readonly access: AccessControl;
  readonly errorPages?: ErrorPages;
  readonly config: Pick<Config, "allowedHosts" | "corsOrigins">;
}

/**
 * Returns a plugin that checks each request before its body is read and its handler runs. Answers
 * every error, including those of handlers, with problem details or an error page.
 */
export function guard({ log, now, randomId, access, errorPages, config }: GuardDependencies) {
  const isAllowedHost = createHostCheck(config.allowedHosts);
  const cors = createCors(config.corsOrigins);
  const hostWarnings = createRateLimit({ limit: HOST_WARNINGS_PER_MINUTE, windowMs: 60_000, now });

  function logRefusedHost(host: string | null) {
    if (!hostWarnings.take("all")) return;
    const name = JSON.stringify((host ?? "").slice(0, MAX_LOGGED_HOST));
    log.warn(`Refused a request for the host ${name}. If it is yours, add it to ALLOWED_HOSTS.`);
  }

  // Typed as a plain `Elysia`: the routes document the errors that are returned here.
  return (app: Elysia): Elysia => {
    /** Returns the first failed check, in the contract's order; undefined if all pass. */
    function rejection(request: Request, path: string, set: Context["set"]): ErrorCode | undefined {
      const { method, headers } = request;
      const { caller, routes } = access.identify(request, path, app);
      const route = routes?.methods.get(method === "HEAD" ? "GET" : method);
      const host = headers.get("host");
      if (!route?.anyHost && !isAllowedHost(host)) {
        logRefusedHost(host);
        return "invalid_host";
      }
      // Browsers send preflights without a key.
      const needed = route?.access ?? (errorPages?.covers(request) ? "dispatcher" : "client");
      if (!isAllowed(needed, caller) && !cors.isPreflight(request)) {
        return caller === "anonymous" ? "missing_api_key" : "invalid_api_key";
      }
      if (routes === undefined) return "not_found";
      if (route === undefined) {
        set.headers["allow"] = allowHeader(routes);
        return "method_not_allowed";
      }
      if (method !== "POST" && method !== "PUT") return undefined;
      // CSRF: other content types can be posted cross-origin without a preflight.
      const isAccepted = route.access === "dispatcher" ? isForm(headers) : isPlainJson(headers);
      if (!isAccepted) return "unsupported_media_type";
      return isDeclaredTooLarge(headers) ? "body_too_large" : undefined;
    }

    /** Sets the headers of every response. Returns the answer if a check fails. */
    function receive(request: Request, path: string, set: Context["set"]) {
      set.headers = {
        "x-request-id": requestIdOf(request.headers, randomId),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
      };
      cors.setHeaders(request, set);
      const code = rejection(request, path, set);
      if (code === undefined) return undefined;
      // The framework does not answer OPTIONS. `allow` lists the path's methods.
      if (code === "method_not_allowed" && request.method === "OPTIONS") {
        if (cors.isPreflight(request)) cors.setPreflightHeaders(set, set.headers["allow"] ?? "");
        set.status = 204;
        return "";
      }
      return errorPages?.covers(request) ? errorPages.answer(request, code) : problem(set, code);
    }

    app
      .onRequest((context) => {
        // `as`: the framework's type lacks its router's path.
        const { request, set, path } = context as typeof context & { readonly path: string };
        const refusal = receive(request, path, set);
        // The framework reads this source: a call behind `return` would make every request
        // asynchronous, and cost 2 µs more.
        if (refusal !== undefined) return refusal;
        context.request = readStrictly(limitBody(request));
        return undefined;
      })
      .onError({ as: "global" }, createErrorHandler(log, errorPages));
    return app;
  };
}

/** The framework's context of a failed request. */
interface Failure {
  /** The framework's error code, not ours. */
  readonly code: unknown;
  readonly error: unknown;
  readonly set: Context["set"];
  readonly request: Request;
}

/** Error pages for the part of the service that serves HTML. */
export interface ErrorPages {
  /** Returns whether the request is for the HTML part. */
  covers(request: Request): boolean;
  /** Returns the error page. */
  answer(request: Request, code: ErrorCode): Response;
}

/**
 * Returns a handler that answers every error with problem details or an error page. Logs internal
 * errors and store failures with their stack.
 */
function createErrorHandler(log: Log, pages?: ErrorPages) {
  // Destructured: the framework reads this source. If it passed its argument on, every request
  // would get parsed cookies, query and headers, which costs 3 µs.
  return ({ code: frameworkCode, error, set, request }: Failure) => {
    if (error instanceof ValidationError && error.type === "body") {
      return problem(set, "validation_failed", { errors: fieldErrors(error) });
    }
    const code = errorCodeOf(frameworkCode, error);
    if (code === "internal_error" || code === "unavailable") {
      log.error(`Request ${set.headers["x-request-id"]} failed.`, error);
    }
    return pages?.covers(request) ? pages.answer(request, code) : problem(set, code);
  };
}

function errorCodeOf(code: unknown, error: unknown) {
  if (code === "NOT_FOUND") return "not_found";
  const cause = code === "PARSE" && error instanceof Error ? error.cause : error;
  if (cause instanceof BodyTooLarge) return "body_too_large";
  if (code === "PARSE") return "invalid_json";
  return error instanceof Unavailable ? "unavailable" : "internal_error";
}

/** Returns one error per invalid field of the body, without any of the input. */
function fieldErrors(error: ValidationError): { field: string; message: string }[] {
  const byField = new Map<string, string>();
  // Not `error.all`, which converts the input to strings. `as`: the framework keeps the failed
  // validator, compiled by TypeBox.
  const validator = error.validator as TypeCheck<TSchema>;
  for (const fault of validator.Errors(error.value)) {
    const field = fault.path.slice(1) || "body";
    // The first error is the clearest: TypeBox also reports a missing field as a wrong type.
    if (byField.has(field)) continue;
    const missing = fault.type === ValueErrorType.ObjectRequiredProperty;
    byField.set(field, missing ? "is missing" : `must be ${expectation(fault.schema)}`);
  }
  return Array.from(byField, ([field, message]) => ({ field, message }));
}
