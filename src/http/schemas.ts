import {
  Kind,
  type SchemaOptions,
  type TOptional,
  type TProperties,
  type TSchema,
  type TString,
  Type,
  TypeRegistry,
} from "@sinclair/typebox";
import { hasVisibleCharacter } from "../format.ts";
import { LINES, ONE_LINE } from "./text-pattern.ts";

// The shapes of members that more than one module has, in requests and answers.

/**
 * With an `error` of the schema's own the framework does not make one up, for which it would turn what
 * was sent into a string, and throw where that can't be done (`{"toString": 1}`).
 */
const OWN_ERROR = { error: "invalid" };

/** A request's body: members that are not named are ignored. */
export function requestBody<Members extends TProperties>(members: Members) {
  const quiet = Object.entries(members).map(([name, schema]) => [
    name,
    { ...schema, ...OWN_ERROR },
  ]);
  // `as`: the same members under the same names.
  return Type.Object(Object.fromEntries(quiet) as Members, {
    additionalProperties: true,
    ...OWN_ERROR,
  });
}

/**
 * The parameters of a request's query, each of which may be left out; others are ignored. They come as
 * strings, and the route reads them: the framework would take "1e3" for a number.
 */
export function queryParameters<Name extends string>(descriptions: Record<Name, string>) {
  const schemas = Object.entries<string>(descriptions).map(([name, description]) => [
    name,
    Type.Optional(Type.String({ description })),
  ]);
  // `as`: the same parameters under the same names.
  const members = Object.fromEntries(schemas) as Record<Name, TOptional<TString>>;
  return Type.Object(members, { additionalProperties: true });
}

/** The schema as clients are to see it. */
export function withoutOwnErrors<Schema>(schema: Schema): Schema {
  const isOwn = (name: string, value: unknown) => name === "error" && value === OWN_ERROR.error;
  return JSON.parse(
    JSON.stringify(schema, (name, value) => (isOwn(name, value) ? undefined : value)),
  );
}

/** A member that may be left out or null, which is the same. */
export function optional<Schema extends TSchema>(schema: Schema) {
  return Type.Optional(Type.Union([schema, Type.Null()]));
}

/** An integer that a JSON number holds exactly in every language: up to 2^53 - 1 either way. */
export function SafeInteger(options: SchemaOptions = {}) {
  return Type.Integer({
    minimum: -Number.MAX_SAFE_INTEGER,
    maximum: Number.MAX_SAFE_INTEGER,
    ...options,
  });
}

/** The name of a tariff for machines. */
export const TARIFF_CODE = /^[A-Za-z0-9_.-]{1,64}$/;

/** The number of a user or an order. */
export function Id(options: SchemaOptions = {}) {
  return Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, ...options });
}

/** A string whose length is counted in characters, as JSON Schema has it, not in UTF-16 units. */
export function Text(minLength: number, maxLength: number, options: SchemaOptions = {}) {
  return Type.Unsafe<string>({ ...options, [Kind]: "Text", type: "string", minLength, maxLength });
}

/**
 * A text to take from clients: of one line, not blank. Answers have `Text`, because older versions have
 * stored other texts.
 */
export function Line(minLength: number, maxLength: number, options: SchemaOptions = {}) {
  return Text(minLength, maxLength, { ...options, pattern: ONE_LINE });
}

/** A text to take from clients, of one line or several, not blank. */
export function Lines(minLength: number, maxLength: number, options: SchemaOptions = {}) {
  return Text(minLength, maxLength, { ...options, pattern: LINES });
}

const patterns = new Map([ONE_LINE, LINES].map((pattern) => [pattern, new RegExp(pattern)]));

interface TextSchema {
  readonly minLength: number;
  readonly maxLength: number;
  readonly pattern?: string;
}

TypeRegistry.Set<TextSchema>("Text", (schema, value) => {
  // Half a surrogate pair is no character, and would not come back from the database as it went in.
  if (typeof value !== "string" || !value.isWellFormed()) return false;
  // No character has more than two units: what is longer than that need not be counted.
  if (value.length > 2 * schema.maxLength) return false;
  const pattern = patterns.get(schema.pattern ?? "");
  // The pattern knows only the combining marks of some scripts; all of them would make it five times as long.
  if (pattern && !(pattern.test(value) && hasVisibleCharacter(value))) return false;
  const { length } = Array.from(value);
  return length >= schema.minLength && length <= schema.maxLength;
});

/** What the schema wants, to stand after "must be". */
export function expectation(schema: TSchema): string {
  const { anyOf, type, minimum, maximum, minLength, maxLength, pattern } = schema;
  // The alternatives that we have are a value or null, which is the same as leaving it out.
  if (Array.isArray(anyOf)) return expectation(anyOf[0]);
  switch (type) {
    case "integer":
      return `a whole number from ${minimum} to ${maximum}`;
    case "string":
      if (minLength === undefined) return "a string";
      if (!patterns.has(pattern)) return `a string of ${minLength} to ${maxLength} characters`;
      return `a string of ${minLength} to ${maxLength} characters, not blank, without control characters`;
    case "boolean":
      return "true or false";
    case "object":
      return "a JSON object";
    default:
      throw new Error(`no words for a member of type ${type}`);
  }
}
