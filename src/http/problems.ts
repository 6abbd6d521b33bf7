import { type Static, Type } from "@sinclair/typebox";
import { type Context, type ElysiaCustomStatusResponse, status } from "elysia";
import type { RefusalCode } from "../refusals.ts";

/** The one table from a refusal to its status and its sentence. */
export const PROBLEMS = {
  invalid_json: { status: 400, detail: "The body is not valid JSON." },
  invalid_idempotency_key: {
    status: 400,
    detail: "Idempotency-Key must be 1 to 255 visible ASCII characters.",
  },
  invalid_host: { status: 400, detail: "The header Host does not name this service." },
  missing_api_key: { status: 401, detail: "The header X-API-Key is missing." },
  invalid_api_key: { status: 403, detail: "The key in X-API-Key does not open this." },
  payment_declined: { status: 402, detail: "The payment provider declined the payment." },
  not_found: { status: 404, detail: "There is nothing at this path." },
  user_not_found: { status: 404, detail: "There is no user with this user_id." },
  tariff_not_found: { status: 404, detail: "There is no active tariff with this tariff_code." },
  order_not_found: { status: 404, detail: "There is no order with this id." },
  method_not_allowed: { status: 405, detail: "This path does not take this method." },
  body_too_large: { status: 413, detail: "The body is larger than 16 KiB." },
  unsupported_media_type: { status: 415, detail: "The body must be sent as application/json." },
  validation_failed: { status: 422, detail: "The body does not have the expected members." },
  invalid_phone_number: { status: 422, detail: "phone_number is not a valid phone number." },
  idempotency_key_reused: {
    status: 422,
    detail: "This Idempotency-Key was used for an order of another tariff.",
  },
  internal_error: { status: 500, detail: "The service made a mistake; it has been logged." },
  unavailable: { status: 503, detail: "The service can't store data now; nothing was accepted." },
} as const satisfies Record<RefusalCode, { status: number; detail: string }>;

/** The reason phrases of RFC 9110. */
const TITLES = {
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  500: "Internal Server Error",
  503: "Service Unavailable",
} as const satisfies Record<StatusOf<RefusalCode>, string>;

/** What every operation may refuse. */
export const OPEN_REFUSALS = ["invalid_host", "internal_error"] as const;

/** What every operation that needs a key may refuse; each of them needs the store as well. */
export const KEYED_REFUSALS = [
  ...OPEN_REFUSALS,
  "missing_api_key",
  "invalid_api_key",
  "unavailable",
] as const;

/** What every operation with a body may refuse. */
export const BODY_REFUSALS = [
  ...KEYED_REFUSALS,
  "invalid_json",
  "body_too_large",
  "unsupported_media_type",
  "validation_failed",
] as const;

type StatusOf<Code extends RefusalCode> = (typeof PROBLEMS)[Code]["status"];

/** The codes among `Code` that are answered with `Status`. */
type CodeOf<Code extends RefusalCode, Status> = Code extends RefusalCode
  ? StatusOf<Code> extends Status
    ? Code
    : never
  : never;

const FIELD_ERROR = Type.Object({ field: Type.String(), message: Type.String() });

/** What a problem has beyond the members that all have: RFC 9457, section 3.2. */
interface Extension {
  order_id?: number;
  errors?: Static<typeof FIELD_ERROR>[];
}

/** Answers with problem details (RFC 9457); `set` is that of the request. */
export function refuse<Code extends RefusalCode>(
  set: Context["set"],
  code: Code,
  extension: Extension = {},
): Refused<Code> {
  const problem = PROBLEMS[code];
  set.headers["content-type"] = "application/problem+json";
  const answer: Problem<Code> = {
    type: "about:blank",
    title: TITLES[problem.status],
    status: problem.status,
    detail: problem.detail,
    code,
    request_id: String(set.headers["x-request-id"]),
    ...extension,
  };
  // `as`: the compiler does not see that a code and its own status belong together.
  return status(problem.status, answer) as unknown as Refused<Code>;
}

type Refused<Code> = Code extends RefusalCode
  ? ElysiaCustomStatusResponse<StatusOf<Code>, Problem<Code>>
  : never;

interface Problem<Code extends RefusalCode> extends Extension {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: Code;
  request_id: string;
}

/** The response schemas, by status, of an operation that may refuse with these codes. */
export function problemSchemas<Code extends RefusalCode>(...codes: Code[]) {
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

function problemSchema<Code extends RefusalCode>(codes: Code[]) {
  const detailed: readonly RefusalCode[] = codes;
  return Type.Unsafe<Problem<Code>>(
    Type.Object({
      type: Type.Literal("about:blank"),
      title: Type.String(),
      status: Type.Integer(),
      detail: Type.String({ description: "One English sentence for the developer." }),
      code: Type.String({ enum: codes, description: "What to map to a text for the customer." }),
      request_id: Type.String(),
      ...(detailed.includes("payment_declined") && { order_id: Type.Integer() }),
      ...(detailed.includes("validation_failed") && {
        errors: Type.Optional(Type.Array(FIELD_ERROR)),
      }),
    }),
  );
}
