import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { type AccessControl, routeOptions } from "../http/access.ts";
import { BODY_ERRORS, KEYED_ERRORS, problem, problemSchemas } from "../http/problems.ts";
import { Id, Line, optional, requestBody, TARIFF_CODE, Text } from "../http/schemas.ts";
import type { Tariff } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { activeTariffs, allTariffs, putTariff } from "./tariff-queries.ts";

const IN_TIYIN = { examples: [30_000], description: "In tiyin; 1 sum is 100 tiyin." };

/** 100 000 000 000 sum: a price beyond it is a slip of the hand. */
const MAX_PRICE_TIYIN = 10_000_000_000_000;

const TARIFF = Type.Object({
  code: Type.String({ pattern: TARIFF_CODE.source, examples: ["standard_300"] }),
  title: Text(1, 200, { examples: ["Standard"] }),
  price_tiyin: Id(IN_TIYIN),
  currency: Type.Literal("UZS"),
  active: Type.Boolean(),
});

export interface TariffRoutesDependencies {
  readonly store: Store;
  readonly access: AccessControl;
}

/** `GET /tariffs` and `PUT /tariffs/{code}`. */
export function tariffRoutes({ store, access }: TariffRoutesDependencies) {
  return new Elysia({ normalize: false })
    .get(
      "/tariffs",
      async ({ request }) => {
        const isOwner = access.infoOf(request)?.caller === "owner";
        const tariffs = await store.read((tx) => (isOwner ? allTariffs : activeTariffs)(tx));
        // Here, for databases differ in how they sort text.
        return tariffs.toSorted((a, b) => (a.code < b.code ? -1 : 1)).map(toJson);
      },
      routeOptions({
        access: "client",
        response: { 200: Type.Array(TARIFF), ...problemSchemas(...KEYED_ERRORS) },
        detail: {
          operationId: "listTariffs",
          tags: ["Tariffs"],
          summary: "List the tariffs",
          description:
            "What can be ordered, with today's prices; with the owner's key also what can't be.",
        },
      }),
    )
    .put(
      "/tariffs/:code",
      async ({ params: { code }, body, set }) => {
        if (!TARIFF_CODE.test(code)) {
          const message = "must be 1 to 64 of A-Z a-z 0-9 _ . -";
          return problem(set, "validation_failed", { errors: [{ field: "code", message }] });
        }
        const tariff: Tariff = {
          code,
          title: body.title,
          priceTiyin: body.price_tiyin,
          active: body.active ?? true,
        };
        await store.run((tx) => putTariff(tx, { ...tariff }));
        return toJson(tariff);
      },
      routeOptions({
        access: "owner",
        parse: "json" as const,
        body: requestBody({
          // Not today's tariff: who tries this out is not to change a price that holds.
          title: Line(1, 200, { examples: ["Express"] }),
          price_tiyin: Id({ ...IN_TIYIN, examples: [50_000], maximum: MAX_PRICE_TIYIN }),
          active: optional(Type.Boolean({ examples: [false], description: "True if left out." })),
        }),
        response: { 200: TARIFF, ...problemSchemas(...BODY_ERRORS) },
        detail: {
          operationId: "putTariff",
          tags: ["Tariffs"],
          summary: "Make or replace a tariff",
          description: "Holds from the next order on; orders that are there keep their amounts.",
          parameters: [
            {
              name: "code",
              in: "path" as const,
              required: true,
              description: "The tariff's name for machines.",
              schema: { type: "string" as const, pattern: TARIFF_CODE.source },
              example: "express_500",
            },
          ],
        },
      }),
    );
}

function toJson({ code, title, priceTiyin, active }: Tariff) {
  return { code, title, price_tiyin: priceTiyin, currency: "UZS" as const, active };
}
