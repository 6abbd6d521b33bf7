import type { TSchema } from "@sinclair/typebox";
import type { TypeCheck } from "@sinclair/typebox/compiler";
import { ValueErrorType } from "@sinclair/typebox/errors";
import type { ValidationError } from "elysia";
import { expectation } from "./schemas.ts";

/** What is wrong with the body, member by member, without a word of what was sent. */
export function fieldErrors(error: ValidationError): { field: string; message: string }[] {
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
