import { type Context, ValidationError } from "elysia";
import { Unavailable } from "../errors.ts";
import type { Log } from "../log.ts";
import { BodyTooLarge } from "./body-limit.ts";
import { problem } from "./problems.ts";
import { fieldErrors } from "./validation.ts";

/** What the framework tells of a request that has failed. */
interface Failure {
  /** The framework's own word for it, not ours. */
  readonly code: unknown;
  readonly error: unknown;
  readonly set: Context["set"];
}

/** Answers every error with problem details. What is a fault of ours is logged whole. */
export function createErrorHandler(log: Log) {
  return ({ code, error, set }: Failure) => {
    if (code === "NOT_FOUND") return problem(set, "not_found");
    if (code === "PARSE") {
      const cause = error instanceof Error ? error.cause : undefined;
      return problem(set, cause instanceof BodyTooLarge ? "body_too_large" : "invalid_json");
    }
    if (error instanceof ValidationError && error.type === "body") {
      return problem(set, "validation_failed", { errors: fieldErrors(error) });
    }
    log.error(`Request ${set.headers["x-request-id"]} failed.`, error);
    return problem(set, error instanceof Unavailable ? "unavailable" : "internal_error");
  };
}
