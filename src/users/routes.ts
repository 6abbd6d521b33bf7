import type { Needs } from "../dependencies.ts";
import { type Static, Type } from "@sinclair/typebox";
import { type Context, Elysia } from "elysia";
import { routeOptions } from "../http/access.ts";
import {
  parseInteger,
  expectation,
  Id,
  Line,
  namedObject,
  nullable,
  optional,
  queryParameters,
  requestBody,
  SafeInteger,
} from "../http/schemas.ts";
import { BODY_ERRORS, KEYED_ERRORS, problem, problemSchemas } from "../http/problems.ts";
import type { User } from "../store/schema.ts";
import { parsePhoneNumber } from "./phone-number.ts";
import type { RegisterUser } from "./register-user.ts";
import { userByChatId, userByPhoneNumber } from "./user-queries.ts";

const USER = namedObject("User", {
  user_id: Id({ description: "The user's id.", examples: [1] }),
  chat_id: nullable(
    SafeInteger({ examples: [123456789] }),
    "The user's Telegram chat; null if unknown.",
  ),
  full_name: nullable(
    Type.String({ examples: ["Aziza Karimova"] }),
    "The user's full name; null if unknown.",
  ),
  created_at: Type.String({
    description: "When the user was registered.",
    format: "date-time",
    examples: ["2026-11-23T09:30:00.000Z"],
  }),
});

/** Options of `POST /register`: request and responses. */
export const REGISTER = routeOptions({
  access: "client",
  parse: "json" as const,
  body: requestBody("Register", {
    phone_number: Type.String({
      description:
        "The user's phone number. A nine-digit number is Uzbek; all others need their country code.",
      examples: ["+998901234567"],
    }),
    chat_id: optional(SafeInteger({ examples: [123456789] }), "The user's Telegram chat."),
    full_name: optional(Line(1, 200, { examples: ["Aziza Karimova"] }), "The user's full name."),
  }),
  response: {
    200: namedObject("Registered", {
      status: Type.Literal("ok", { description: "The user is registered." }),
      message: Type.Literal("User registered successfully", { description: "Always this string." }),
      user_id: Id({ description: "The user's id.", examples: [1] }),
    }),
    ...problemSchemas(...BODY_ERRORS, "invalid_phone_number"),
  },
  detail: {
    operationId: "registerUser",
    tags: ["Customers"],
    summary: "Register a user",
    description:
      "Creates a user, or finds the one with this phone number, in any format. A repeat can add or change the other fields. Sends an SMS unless one was sent to this number recently or the hourly limit is reached.",
  },
});

interface UserRoutesDependencies extends Needs<"store"> {
  readonly registerUser: RegisterUser["registerUser"];
}

/** Serves `POST /register` and `GET /users`. */
export function userRoutes({ store, registerUser }: UserRoutesDependencies) {
  return new Elysia({ normalize: false })
    .post(
      "/register",
      async ({ body, set }) => {
        const phoneNumber = parsePhoneNumber(body.phone_number);
        if (phoneNumber === undefined) return problem(set, "invalid_phone_number");
        const userId = await registerUser({
          phoneNumber,
          chatId: body.chat_id ?? null,
          fullName: body.full_name ?? null,
        });
        return {
          status: "ok" as const,
          message: "User registered successfully" as const,
          user_id: userId,
        };
      },
      REGISTER,
    )
    .get(
      "/users",
      async ({ query, set }) => {
        const { chat_id, phone_number } = query;
        const invalid = (message: string) =>
          problem(set, "validation_failed", { errors: [{ field: "chat_id", message }] });
        if (chat_id !== undefined && phone_number !== undefined) {
          return invalid("must be absent if phone_number is given");
        }
        if (phone_number !== undefined) {
          const phoneNumber = parsePhoneNumber(phone_number);
          if (phoneNumber === undefined) return problem(set, "invalid_phone_number");
          return answer(set, await store.read((tx) => userByPhoneNumber(tx, { phoneNumber })));
        }
        if (chat_id === undefined) return invalid("is required unless phone_number is given");
        const chatId = parseInteger(chat_id, Number.MIN_SAFE_INTEGER);
        if (chatId === undefined) return invalid(`must be ${expectation(SafeInteger())}`);
        return answer(set, await store.read((tx) => userByChatId(tx, { chatId })));
      },
      routeOptions({
        access: "client",
        query: queryParameters({
          chat_id: SafeInteger({ description: "The user's Telegram chat." }),
          phone_number: Type.String({
            description:
              "The user's phone number, in any format. Write the plus as %2B or leave it out.",
          }),
        }),
        response: {
          200: USER,
          ...problemSchemas(
            ...KEYED_ERRORS,
            "validation_failed",
            "invalid_phone_number",
            "user_not_found",
          ),
        },
        detail: {
          operationId: "findUser",
          tags: ["Customers"],
          summary: "Find a user",
          description:
            "Finds a user by chat_id or phone_number; pass one of them. If a chat has several users, returns the newest.",
        },
      }),
    );
}

function answer(set: Context["set"], [user]: readonly User[]) {
  return user ? toJson(user) : problem(set, "user_not_found");
}

function toJson({ id, chatId, fullName, createdAt }: User): Static<typeof USER> {
  return {
    user_id: id,
    chat_id: chatId,
    full_name: fullName,
    created_at: new Date(createdAt).toISOString(),
  };
}
