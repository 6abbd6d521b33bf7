import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { routeOptions } from "../http/access.ts";
import { BODY_ERRORS, problem, problemSchemas } from "../http/problems.ts";
import { optional, requestBody, SafeInteger, Text } from "../http/schemas.ts";
import type { UserService } from "./register-user.ts";

/** What `POST /register` takes and answers. */
export const REGISTER = routeOptions({
  access: "client",
  parse: "json" as const,
  body: requestBody({
    phone_number: Type.String({
      description: "Nine digits are an Uzbek number; other countries' with their country code.",
      examples: ["+998901234567"],
    }),
    chat_id: optional(SafeInteger({ description: "The Telegram chat.", examples: [123456789] })),
    full_name: optional(Text(1, 200, { examples: ["Aziza Karimova"] })),
  }),
  response: {
    200: Type.Object({
      status: Type.Literal("ok"),
      message: Type.Literal("User registered successfully"),
      user_id: Type.Integer(),
    }),
    ...problemSchemas(...BODY_ERRORS, "invalid_phone_number"),
  },
  detail: {
    operationId: "registerUser",
    tags: ["Users"],
    summary: "Register a user",
    description:
      "The same number in any spelling is the same user. A repeat may add or change the other members.",
  },
});

/** `POST /register`. */
export function userRoutes({ userService }: { userService: UserService }) {
  return new Elysia({ normalize: false }).post(
    "/register",
    async ({ body, set }) => {
      const outcome = await userService.registerUser({
        phoneNumber: body.phone_number,
        chatId: body.chat_id ?? null,
        fullName: body.full_name ?? null,
      });
      switch (outcome.kind) {
        case "rejected":
          return problem(set, outcome.code);
        case "registered":
          return {
            status: "ok" as const,
            message: "User registered successfully" as const,
            user_id: outcome.userId,
          };
      }
    },
    REGISTER,
  );
}
