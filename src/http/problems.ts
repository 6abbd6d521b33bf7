import { type SchemaOptions, type Static, type TSchema, Type } from "@sinclair/typebox";
import { type Context, type ElysiaCustomStatusResponse, status as answerWith } from "elysia";
import type { ErrorCode } from "../errors.ts";
import { type Example, named, namedObject } from "./schemas.ts";

/** The one table from an error code to its status and its sentence. */
export const PROBLEMS = {
  invalid_json: { status: 400, detail: "The body is not valid JSON in UTF-8." },
  invalid_idempotency_key: {
    status: 400,
    detail:
      "Idempotency-Key must be 1 to 255 visible ASCII characters, bare or in one pair of quotes.",
  },
  invalid_host: { status: 400, detail: "The header Host does not name this service." },
  missing_api_key: { status: 401, detail: "The header X-API-Key is missing." },
  invalid_api_key: { status: 403, detail: "The key in X-API-Key does not open this." },
  payment_declined: { status: 402, detail: "The payment provider declined the payment." },
  not_found: { status: 404, detail: "There is nothing at this path." },
  user_not_found: { status: 404, detail: "There is no such user." },
  tariff_not_found: { status: 404, detail: "There is no active tariff with this tariff_code." },
  order_not_found: { status: 404, detail: "There is no order with this id." },
  method_not_allowed: { status: 405, detail: "This path does not take this method." },
  body_too_large: { status: 413, detail: "The body is larger than 16 KiB." },
  unsupported_media_type: {
    status: 415,
    detail: "The body must be sent as application/json, in UTF-8, without a Content-Encoding.",
  },
  validation_failed: { status: 422, detail: "The request does not have the expected members." },
  invalid_phone_number: { status: 422, detail: "phone_number is not a valid phone number." },
  idempotency_key_reused: {
    status: 422,
    detail: "This Idempotency-Key was used for an order of another tariff.",
  },
  too_many_orders: { status: 429, detail: "This user has ordered too often within an hour." },
  internal_error: { status: 500, detail: "The service made a mistake; it has been logged." },
  unavailable: { status: 503, detail: "The service can't store data now; nothing was accepted." },
} as const satisfies Record<ErrorCode, { status: number; detail: string }>;

/** The reason phrases of RFC 9110, and of RFC 6585 for 429. */
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

/** What may go wrong with every operation that needs a key; each of them needs the store as well. */
export const KEYED_ERRORS = [
  "invalid_host",
  "internal_error",
  "missing_api_key",
  "invalid_api_key",
  "unavailable",
] as const;

/** What may go wrong with every operation that has a body. */
export const BODY_ERRORS = [
  ...KEYED_ERRORS,
  "invalid_json",
  "body_too_large",
  "unsupported_media_type",
  "validation_failed",
] as const;

type StatusOf<Code extends ErrorCode> = (typeof PROBLEMS)[Code]["status"];

/** The codes among `Code` that are answered with `Status`. */
type CodeOf<Code extends ErrorCode, Status> = Code extends ErrorCode
  ? StatusOf<Code> extends Status
    ? Code
    : never
  : never;

const FIELD_ERROR = namedObject("FieldError", { field: Type.String(), message: Type.String() });

/** One thing that is wrong with a request. */
export type FieldError = Static<typeof FIELD_ERROR>;

/** What a problem has beyond the members that all have: RFC 9457, section 3.2. */
interface Extension {
  order_id?: number;
  errors?: FieldError[];
}

/** What a 401 says is missing (RFC 9110, section 11.6.1). The scheme is our own: no standard one has our header. */
const CHALLENGE = 'ApiKey realm="NMservis"';

/** Answers with problem details (RFC 9457); `set` is that of the request. */
export function problem<Code extends ErrorCode>(
  set: Context["set"],
  code: Code,
  extension: Extension = {},
): ProblemAnswer<Code> {
  const { status, detail } = PROBLEMS[code];
  set.headers["content-type"] = "application/problem+json";
  if (status === 401) set.headers["www-authenticate"] = CHALLENGE;
  const body: Problem<Code> = {
    type: "about:blank",
    title: REASON_PHRASES[status],
    status,
    detail,
    code,
    request_id: String(set.headers["x-request-id"]),
    ...extension,
  };
  // `as`: the compiler does not see that a code and its own status belong together.
  return answerWith(status, body) as unknown as ProblemAnswer<Code>;
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
 * Returns the OpenAPI examples of these problems by their codes. Unknown codes have no example.
 * `fieldError` is an error that the operation can really find.
 */
export function examplesOf(codes: readonly string[], fieldError: FieldError | undefined) {
  const examples: Record<string, Example> = {};
  const extensions: Readonly<Record<string, Extension>> = {
    payment_declined: { order_id: 7 },
    validation_failed: fieldError === undefined ? {} : { errors: [fieldError] },
  };
  for (const [code, { status, detail }] of Object.entries(PROBLEMS)) {
    if (!codes.includes(code)) continue;
    const title = REASON_PHRASES[status];
    const request_id = "0b9dd5f0-6a4c-4f62-9d3e-5c1c1a0f7e21";
    examples[code] = {
      summary: detail,
      value: { type: "about:blank", title, status, detail, code, request_id, ...extensions[code] },
    };
  }
  return examples;
}

/** The response schemas, by status, of an operation with these errors. */
export function problemSchemas<Code extends ErrorCode>(...codes: Code[]) {
  const schemas: Record<number, ReturnType<typeof problemSchema>> = {};
  for (const code of codes) {
    const { status } = PROBLEMS[code];
    schemas[status] ??= problemSchema(codes.filter((other) => PROBLEMS[other].status === status));
  }
  // `as`: the loop has made an entry for the status of every code, and for no other.
  return schemas as {
    [Status in StatusOf<Code>]: ReturnType<typeof problemSchema<CodeOf<Code, Status>>>;
  };
}

function problemSchema<Code extends ErrorCode>(codes: Code[], options: SchemaOptions = {}) {
  const detailed: readonly ErrorCode[] = codes;
  return Type.Unsafe<Problem<Code>>(
    Type.Object(
      {
        type: Type.Literal("about:blank"),
        title: Type.String(),
        status: Type.Integer(),
        detail: Type.String({ description: "One English sentence for the developer." }),
        code: Type.String({ enum: codes, description: "Map it to a text for the customer." }),
        request_id: Type.String(),
        ...(detailed.includes("payment_declined") && { order_id: Type.Integer() }),
        ...(detailed.includes("validation_failed") && {
          errors: Type.Optional(Type.Array(FIELD_ERROR)),
        }),
      },
      options,
    ),
  );
}

/** The schema names of the statuses whose problems have additional fields. */
const NAME_OF_STATUS: Readonly<Record<number, string>> = {
  402: "PaymentDeclinedProblem",
  422: "ValidationProblem",
};

/**
 * Returns the named OpenAPI schema of the problems with this status. It allows the codes of all
 * operations, so that clients need few types. Each operation has examples of its codes alone.
 */
export function documentedProblem(status: number): TSchema {
  const name = NAME_OF_STATUS[status];
  // `as`: these are the keys of the table.
  const codes = (Object.keys(PROBLEMS) as ErrorCode[]).filter((code) =>
    name === undefined
      ? !(PROBLEMS[code].status in NAME_OF_STATUS)
      : PROBLEMS[code].status === status,
  );
  return problemSchema(codes, named(name ?? "Problem"));
}
