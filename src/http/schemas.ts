import {
  Kind,
  type SchemaOptions,
  type Static,
  type TObject,
  type TOptional,
  type TProperties,
  type TSchema,
  type TUnsafe,
  Type,
  TypeRegistry,
} from "@sinclair/typebox";
import { hasVisibleCharacter } from "../lib/format.ts";

// Patterns for the OpenAPI document. Validators compile patterns with or without the flag `u`, so
// these mean the same both ways: no `\p{}`, and two forms for characters beyond U+FFFF.

/**
 * Bidirectional controls, which reorder adjacent text such as a phone number, and the deprecated
 * and annotation controls.
 */
export const FORMAT = "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u206f\\ufff9-\\ufffb";

const LINE_SEPARATORS = "\\u2028\\u2029";

const CONTROL = "\\u0000-\\u001f\\u007f-\\u009f";

const CONTROL_BUT_TAB_AND_NEWLINE = "\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f";

/** Spaces, default-ignorable and format characters, and the blank Braille cell. */
const BLANK =
  "\\s\\u00ad\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f" +
  "\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\uffa0\\ufff0-\\ufffb";

/** Combining marks for Latin, Cyrillic, Hebrew and Arabic script, and for symbols. */
const MARKS =
  "\\u0300-\\u036f\\u0483-\\u0489\\u0591-\\u05bd\\u05bf\\u05c1\\u05c2\\u05c4\\u05c5\\u05c7\\u0610-\\u061a\\u064b-\\u065f" +
  "\\u0670\\u06d6-\\u06dc\\u06df-\\u06e4\\u06e7\\u06e8\\u06ea-\\u06ed\\u1ab0-\\u1ace\\u1dc0-\\u1dff\\u20d0-\\u20f0\\ufe20-\\ufe2f";

/** Blank characters beyond U+FFFF; the last are tags and variation selectors. */
const ASTRAL_BLANK = [
  [0x110bd, 0x110bd],
  [0x110cd, 0x110cd],
  [0x13430, 0x13442],
  [0x1bca0, 0x1bca3],
  [0x1d159, 0x1d159],
  [0x1d173, 0x1d17a],
  [0xe0000, 0xe0fff],
] as const;

/** Returns the escaped surrogates of a code point. */
function surrogates(codePoint: number): { high: string; low: string } {
  const text = String.fromCodePoint(codePoint);
  const escape = (at: number) => `\\u${text.charCodeAt(at).toString(16)}`;
  return { high: escape(0), low: escape(1) };
}

/**
 * Returns a pattern that matches a range without the flag `u`, where each character is two units.
 * With the flag, it matches nothing.
 */
function asUnits([first, last]: readonly [number, number]): string {
  const [from, to] = [surrogates(first), surrogates(last)];
  // Ranges here that span several high surrogates include all low ones.
  if (from.high !== to.high) return `[${from.high}-${to.high}][\\udc00-\\udfff]`;
  return `${from.high}[${from.low}-${to.low}]`;
}

/**
 * Returns a pattern that matches a range with the flag `u`. Uses an intersection, because
 * `[\ud834\udd73-\ud834\udd7a]` is a syntax error without the flag.
 */
function asCodePoints([first, last]: readonly [number, number]): string {
  const [before, to] = [surrogates(first - 1), surrogates(last)];
  return `(?=[^\\u0000-${before.high}${before.low}])[\\ud800-${to.high}${to.low}]`;
}

const BLANK_CHARACTER = [
  `[${BLANK}${MARKS}]`,
  ...ASTRAL_BLANK.map(asUnits),
  // The lookahead prevents matching half a character without the flag.
  `(?![\\ud800-\\udbff])(?:${ASTRAL_BLANK.map(asCodePoints).join("|")})`,
].join("|");

const NOT_BLANK = `(?!(?:${BLANK_CHARACTER})*$)`;

/** A line with a visible character and without control or bidirectional control characters. */
export const ONE_LINE = `^${NOT_BLANK}[^${CONTROL}${LINE_SEPARATORS}${FORMAT}]*$`;

/** Like `ONE_LINE`, but allows tabs and line breaks. */
export const LINES = `^${NOT_BLANK}[^${CONTROL_BUT_TAB_AND_NEWLINE}${FORMAT}]*$`;

// Schemas that several modules use in requests and responses.

/**
 * Keeps the framework from generating an error message. It would convert the input to a string,
 * which throws for input such as `{"toString": 1}`.
 */
const OWN_ERROR = { error: "invalid" };

/** Keyword for a schema's name. Not `title`, which is a field of tariffs and problems. */
export const SCHEMA_NAME = "x-schema-name";

/** Returns schema options that name the schema in `components.schemas` of the OpenAPI document. */
export function named(name: string) {
  return { [SCHEMA_NAME]: name };
}

/**
 * Returns an object schema with this name in the OpenAPI document. Without an example, clients such
 * as Swagger UI make one that has every optional field.
 */
export function namedObject<Fields extends TProperties>(
  name: string,
  fields: Fields,
  example?: Static<TObject<Fields>>,
) {
  return Type.Object(fields, { ...named(name), ...(example && { examples: [example] }) });
}

/** An OpenAPI example. */
export interface Example {
  readonly summary: string;
  readonly value: object;
}

/**
 * Returns the schema of a request body, with this name in the OpenAPI document. Ignores unknown
 * fields.
 */
export function requestBody<Fields extends TProperties>(name: string, fields: Fields) {
  const entries = Object.entries(fields).map(([name, schema]) => [
    name,
    { ...schema, ...OWN_ERROR },
  ]);
  // `as`: the same fields under the same names.
  return Type.Object(Object.fromEntries(entries) as Fields, {
    ...named(name),
    additionalProperties: true,
    ...OWN_ERROR,
  });
}

/**
 * Returns a schema of optional query parameters; ignores others. `schemas` are for the OpenAPI
 * document: routes get strings and parse them, because the framework would accept "1e3" as a
 * number.
 */
export function queryParameters<Name extends string>(schemas: Record<Name, TSchema>) {
  const entries = Object.entries<TSchema>(schemas).map(([name, schema]) => [
    name,
    Type.Optional(Type.Unsafe<string>({ ...schema, [Kind]: "QueryString" })),
  ]);
  // `as`: the same parameters under the same names.
  const parameters = Object.fromEntries(entries) as Record<Name, TOptional<TUnsafe<string>>>;
  return Type.Object(parameters, { additionalProperties: true });
}

TypeRegistry.Set("QueryString", (_schema, value) => typeof value === "string");

/** Returns the OpenAPI descriptions of these query parameters. */
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
 * Copies a document without internal keywords: our `error`, and `additionalProperties: false`,
 * which the framework adds to some schemas when it first uses them.
 */
export function withoutInternals<Document>(document: Document): Document {
  const isInternal = (name: string, value: unknown) =>
    (name === "error" && value === OWN_ERROR.error) ||
    (name === "additionalProperties" && value === false);
  return JSON.parse(
    JSON.stringify(document, (name, value) => (isInternal(name, value) ? undefined : value)),
  );
}

/** Returns the schema of a field that can be null. */
export function nullable<Schema extends TSchema>(schema: Schema, description: string) {
  return Type.Union([schema, Type.Null()], { description });
}

/** Returns the schema of a request field that can be absent or null; both mean the same. */
export function optional<Schema extends TSchema>(schema: Schema, description: string) {
  return Type.Optional(nullable(schema, description));
}

/** Returns the schema of an integer that JSON numbers hold exactly: up to ±(2^53 - 1). */
export function SafeInteger(options: SchemaOptions = {}) {
  return Type.Integer({
    minimum: -Number.MAX_SAFE_INTEGER,
    maximum: Number.MAX_SAFE_INTEGER,
    ...options,
  });
}

/**
 * A tariff's code: 1 to 64 of these characters. Excludes `.` and `..`, which URLs normalize away.
 */
export const TARIFF_CODE =
  /^([A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}|\.[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}|\.\.[A-Za-z0-9_.-]{1,62})$/;

/** Returns the schema of a positive integer up to 2^53 - 1: an id or an amount. */
export function Id(options: SchemaOptions = {}) {
  return Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, ...options });
}

/** Returns the schema of a string. Lengths are in characters (JSON Schema), not UTF-16 units. */
export function Text(minLength: number, maxLength: number, options: SchemaOptions = {}) {
  return Type.Unsafe<string>({ ...options, [Kind]: "Text", type: "string", minLength, maxLength });
}

/**
 * Returns the schema of a non-blank single line in requests. Responses use `Text`, because older
 * versions stored strings that this schema rejects.
 */
export function Line(minLength: number, maxLength: number, options: SchemaOptions = {}) {
  return Text(minLength, maxLength, { ...options, pattern: ONE_LINE });
}

/** Returns the schema of a non-blank string of one or more lines in requests. */
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
  // The database would not return a lone surrogate unchanged.
  if (typeof value !== "string" || !value.isWellFormed()) return false;
  // A character has at most two units, so longer strings need no counting.
  if (value.length > 2 * schema.maxLength) return false;
  const pattern = patterns.get(schema.pattern ?? "");
  // The pattern covers the combining marks of only some scripts: all of them would make it five
  // times as long.
  if (pattern && !(pattern.test(value) && hasVisibleCharacter(value))) return false;
  const { length } = Array.from(value);
  return length >= schema.minLength && length <= schema.maxLength;
});

/** Describes valid values of the schema, for use after "must be". */
export function expectation(schema: SchemaOptions): string {
  const { anyOf, type, minimum, maximum, minLength, maxLength, pattern } = schema;
  // All unions here are a value or null.
  if (Array.isArray(anyOf)) return expectation(anyOf[0]);
  switch (type) {
    case "integer":
      return `a whole number from ${minimum} to ${maximum}`;
    case "string":
      if (minLength === undefined) return "a string";
      if (!patterns.has(pattern)) return `a string of ${minLength} to ${maxLength} characters`;
      return `a string of ${minLength} to ${maxLength} characters, not blank, without control or bidirectional control characters`;
    case "boolean":
      return "true or false";
    case "object":
      return "a JSON object";
    default:
      throw new Error(`schemas of type ${type} have no description`);
  }
}

/**
 * Parses an integer in canonical form: no plus, leading zeros, fraction or exponent. Returns
 * undefined if it is malformed or out of bounds.
 */
export function parseInteger(
  text: string,
  min = 1,
  max: number = Number.MAX_SAFE_INTEGER,
): number | undefined {
  const value = /^(0|-?[1-9]\d*)$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}
