import {
  Kind,
  type SchemaOptions,
  type TObject,
  type TOptional,
  type TProperties,
  type TSchema,
  type TUnsafe,
  Type,
  TypeRegistry,
} from "@sinclair/typebox";
import { hasVisibleCharacter } from "../lib/format.ts";
import { LINES, ONE_LINE } from "./text-pattern.ts";

// The shapes of members that more than one module has, in requests and answers.

/**
 * With an `error` of the schema's own the framework does not make one up, for which it would turn what
 * was sent into a string, and throw where that can't be done (`{"toString": 1}`).
 */
const OWN_ERROR = { error: "invalid" };

/** The keyword of a schema's name. Not `title`, which tariffs and problems have as a field. */
export const SCHEMA_NAME = "x-schema-name";

/** Schema options that put the schema into `components.schemas` of the OpenAPI document, under this name. */
export function named(name: string) {
  return { [SCHEMA_NAME]: name };
}

/** An object schema with this name in the OpenAPI document. */
export function namedObject<Fields extends TProperties>(name: string, fields: Fields) {
  return Type.Object(fields, named(name));
}

/** An example of a value, with a few words on it, as OpenAPI has it. */
export interface Example {
  readonly summary: string;
  readonly value: object;
}

/** The schema of a request body, with its name in the OpenAPI document. Unknown fields are ignored. */
export function requestBody<Members extends TProperties>(name: string, members: Members) {
  const quiet = Object.entries(members).map(([name, schema]) => [
    name,
    { ...schema, ...OWN_ERROR },
  ]);
  // `as`: the same members under the same names.
  return Type.Object(Object.fromEntries(quiet) as Members, {
    ...named(name),
    additionalProperties: true,
    ...OWN_ERROR,
  });
}

/**
 * Optional query parameters by name; others are ignored. The schemas are for the OpenAPI document:
 * the route gets strings and checks them itself, because the framework would take "1e3" for a number.
 */
export function queryParameters<Name extends string>(schemas: Record<Name, TSchema>) {
  const entries = Object.entries<TSchema>(schemas).map(([name, schema]) => [
    name,
    Type.Optional(Type.Unsafe<string>({ ...schema, [Kind]: "QueryString" })),
  ]);
  // `as`: the same parameters under the same names.
  const members = Object.fromEntries(entries) as Record<Name, TOptional<TUnsafe<string>>>;
  return Type.Object(members, { additionalProperties: true });
}

TypeRegistry.Set("QueryString", (_schema, value) => typeof value === "string");

/** Describes these query parameters as OpenAPI does. */
export function describeQuery(query: TObject) {
  return Object.entries(query.properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query" as const,
    required: false,
    description: String(description),
    schema,
  }));
}

/**
 * Copies a document without the keywords that clients must not see: our own errors, and
 * `additionalProperties: false`, which the framework adds to some schemas at their first use.
 */
export function withoutInternals<Document>(document: Document): Document {
  const isInternal = (name: string, value: unknown) =>
    (name === "error" && value === OWN_ERROR.error) ||
    (name === "additionalProperties" && value === false);
  return JSON.parse(
    JSON.stringify(document, (name, value) => (isInternal(name, value) ? undefined : value)),
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

/** A tariff's code: 1 to 64 of these characters, but neither `.` nor `..`, which no URL path can hold. */
export const TARIFF_CODE =
  /^([A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}|\.[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}|\.\.[A-Za-z0-9_.-]{1,62})$/;

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
export function expectation(schema: SchemaOptions): string {
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
