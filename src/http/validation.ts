import type { TSchema } from "@sinclair/typebox";
import type { TypeCheck } from "@sinclair/typebox/compiler";
import { ValueErrorType } from "@sinclair/typebox/errors";
import type { ValidationError } from "elysia";
import { expectation } from "./schemas.ts";

/** Returns one error per invalid field of the body, without any of the input. */
export function fieldErrors(error: ValidationError): { field: string; message: string }[] {
  const byField = new Map<string, string>();
  // Not `error.all`, which converts the input to strings.
  // `as`: the framework keeps the failed validator, compiled by TypeBox.
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
