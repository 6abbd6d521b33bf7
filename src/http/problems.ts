import { type SchemaOptions, type Static, type TSchema, Type } from "@sinclair/typebox";
import { type Context, type ElysiaCustomStatusResponse, status as answerWith } from "elysia";
import { type Example, named, namedObject } from "./schemas.ts";

/** Status and detail of each error code of the API. Clients rely on the codes. */
export const PROBLEMS = {
  invalid_json: { status: 400, detail: "The request body is not valid JSON in UTF-8." },
  invalid_idempotency_key: {
    status: 400,
    detail:
      "Idempotency-Key must be 1 to 255 visible ASCII characters, optionally in double quotes.",
  },
  invalid_host: { status: 400, detail: "The Host header does not name this service." },
  missing_api_key: { status: 401, detail: "The X-API-Key header is missing." },
  invalid_api_key: { status: 403, detail: "This key is not authorized." },
  payment_declined: { status: 402, detail: "The payment provider declined the payment." },
  not_found: { status: 404, detail: "This path does not exist." },
  user_not_found: { status: 404, detail: "There is no such user." },
  tariff_not_found: { status: 404, detail: "There is no active tariff with this code." },
  order_not_found: { status: 404, detail: "There is no order with this id." },
  method_not_allowed: { status: 405, detail: "This path does not support this method." },
  body_too_large: { status: 413, detail: "The request body is larger than 16 KiB." },
  unsupported_media_type: {
    status: 415,
    detail: "The request body must be application/json in UTF-8, without Content-Encoding.",
  },
  validation_failed: { status: 422, detail: "The request has missing or invalid fields." },
  invalid_phone_number: { status: 422, detail: "phone_number is not a valid phone number." },
  idempotency_key_reused: {
    status: 422,
    detail: "This Idempotency-Key was used for an order with a different tariff.",
  },
  too_many_orders: { status: 429, detail: "This user has reached the hourly order limit." },
  internal_error: { status: 500, detail: "Internal error; it has been logged." },
  unavailable: { status: 503, detail: "The database is unavailable; nothing was saved." },
} as const satisfies Record<string, { status: number; detail: string }>;

export type ErrorCode = keyof typeof PROBLEMS;

// `as`: the keys of `PROBLEMS` are error codes.
const ERROR_CODES = Object.keys(PROBLEMS) as ErrorCode[];

/** Reason phrases from RFC 9110, and from RFC 6585 for 429. */
export const REASON_PHRASES = {
  200: "OK",
  202: "Accepted",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
} as const satisfies Record<StatusOf<ErrorCode> | 200 | 202, string>;

/** Errors of every operation that needs a key. All such operations also use the store. */
export const KEYED_ERRORS = [
  "invalid_host",
  "internal_error",
  "missing_api_key",
  "invalid_api_key",
  "unavailable",
] as const;

/** Errors of every operation with a request body. */
export const BODY_ERRORS = [
  ...KEYED_ERRORS,
  "invalid_json",
  "body_too_large",
  "unsupported_media_type",
  "validation_failed",
] as const;

type StatusOf<Code extends ErrorCode> = (typeof PROBLEMS)[Code]["status"];

/** The codes in `Code` that have this status. */
type CodeOf<Code extends ErrorCode, Status> = Code extends ErrorCode
  ? StatusOf<Code> extends Status
    ? Code
    : never
  : never;

const FIELD_ERROR = namedObject("FieldError", {
  field: Type.String({ description: "The name of the field or parameter." }),
  message: Type.String({ description: "The problem, phrased to follow the field's name." }),
});

/** One missing or invalid field. */
export type FieldError = Static<typeof FIELD_ERROR>;

/** Fields of some problems only (RFC 9457, section 3.2). */
interface Extension {
  order_id?: number;
  errors?: FieldError[];
}

/** Challenge of a 401 (RFC 9110, section 11.6.1). No standard scheme uses X-API-Key. */
const CHALLENGE = 'ApiKey realm="NMservis"';

/** Returns problem details (RFC 9457) and sets their headers in `set`. */
export function problem<Code extends ErrorCode>(
  set: Context["set"],
  code: Code,
  extension: Extension = {},
): ProblemAnswer<Code> {
  const { status } = PROBLEMS[code];
  set.headers["content-type"] = "application/problem+json";
  if (status === 401) set.headers["www-authenticate"] = CHALLENGE;
  const body = bodyOf(code, String(set.headers["x-request-id"]), extension);
  // `as`: the compiler does not relate a code to its status.
  return answerWith(status, body) as unknown as ProblemAnswer<Code>;
}

function bodyOf<Code extends ErrorCode>(
  code: Code,
  request_id: string,
  extension: Extension = {},
): Problem<Code> {
  const { status, detail } = PROBLEMS[code];
  const title = REASON_PHRASES[status];
  return { type: "about:blank", title, status, detail, code, request_id, ...extension };
}

type ProblemAnswer<Code> = Code extends ErrorCode
  ? ElysiaCustomStatusResponse<StatusOf<Code>, Problem<Code>>
  : never;

interface Problem<Code extends ErrorCode> extends Extension {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: Code;
  request_id: string;
}

/**
 * Returns the OpenAPI examples of these problems, by code; skips unknown codes. `fieldError` is an
 * error that the operation can return.
 */
export function examplesOf(codes: readonly string[], fieldError: FieldError | undefined) {
  const examples: Record<string, Example> = {};
  const extensions: Partial<Record<ErrorCode, Extension>> = {
    payment_declined: { order_id: 7 },
    validation_failed: fieldError === undefined ? {} : { errors: [fieldError] },
  };
  for (const code of ERROR_CODES.filter((one) => codes.includes(one))) {
    examples[code] = {
      summary: PROBLEMS[code].detail,
      value: bodyOf(code, "0b9dd5f0-6a4c-4f62-9d3e-5c1c1a0f7e21", extensions[code]),
    };
  }
  return examples;
}

/** Returns the response schemas of an operation with these errors, by status. */
export function problemSchemas<Code extends ErrorCode>(...codes: Code[]) {
  const schemas: Record<number, ReturnType<typeof problemSchema>> = {};
  for (const code of codes) {
    const { status } = PROBLEMS[code];
    schemas[status] ??= problemSchema(codes.filter((other) => PROBLEMS[other].status === status));
  }
  // `as`: the loop adds an entry for the status of each code, and no others.
  return schemas as {
    [Status in StatusOf<Code>]: ReturnType<typeof problemSchema<CodeOf<Code, Status>>>;
  };
}

function problemSchema<Code extends ErrorCode>(codes: Code[], options: SchemaOptions = {}) {
  const detailed: readonly ErrorCode[] = codes;
  return Type.Unsafe<Problem<Code>>(
    Type.Object(
      {
        type: Type.Literal("about:blank", { description: "Always about:blank." }),
        title: Type.String({ description: "The reason phrase of the status." }),
        status: Type.Integer({ description: "The HTTP status." }),
        detail: Type.String({ description: "One English sentence for developers." }),
        code: Type.String({
          enum: codes,
          description: "The error code. Map it to a message for the customer.",
        }),
        request_id: Type.String({
          description: "The request's id, as in the header X-Request-Id and in the log.",
        }),
        ...(detailed.includes("payment_declined") && {
          order_id: Type.Integer({ description: "The declined order's id." }),
        }),
        ...(detailed.includes("validation_failed") && {
          errors: Type.Optional(
            Type.Array(FIELD_ERROR, {
              description: "The missing or invalid fields. Present if code is validation_failed.",
            }),
          ),
        }),
      },
      options,
    ),
  );
}

/** Schema names of the statuses whose problems have additional fields. */
const NAME_OF_STATUS: Readonly<Record<number, string>> = {
  402: "PaymentDeclinedProblem",
  422: "ValidationProblem",
};

/**
 * Returns the named OpenAPI schema of problems with this status. It allows the codes of all
 * operations, so that clients need few types. An operation's examples show only its own codes.
 */
export function documentedProblem(status: number): TSchema {
  const name = NAME_OF_STATUS[status];
  const codes = ERROR_CODES.filter((code) =>
    name === undefined
      ? !(PROBLEMS[code].status in NAME_OF_STATUS)
      : PROBLEMS[code].status === status,
  );
  return problemSchema(codes, named(name ?? "Problem"));
}
