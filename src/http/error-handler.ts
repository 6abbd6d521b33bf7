import { type Context, ValidationError } from "elysia";
import { type ErrorCode, Unavailable } from "../errors.ts";
import type { Log } from "../log.ts";
import { BodyTooLarge } from "./request-body.ts";
import { problem } from "./problems.ts";
import type { TSchema } from "@sinclair/typebox";
import type { TypeCheck } from "@sinclair/typebox/compiler";
import { ValueErrorType } from "@sinclair/typebox/errors";
import { expectation } from "./schemas.ts";

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
export function createErrorHandler(log: Log, pages?: ErrorPages) {
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
export function fieldErrors(error: ValidationError): { field: string; message: string }[] {
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
