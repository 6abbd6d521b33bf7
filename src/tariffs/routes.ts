import type { Needs } from "../dependencies.ts";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { type AccessControl, routeOptions } from "../http/access.ts";
import { BODY_ERRORS, KEYED_ERRORS, problem, problemSchemas } from "../http/problems.ts";
import {
  Id,
  Line,
  namedObject,
  optional,
  requestBody,
  TARIFF_CODE,
  Text,
} from "../http/schemas.ts";
import type { Tariff } from "../store/schema.ts";
import { activeTariffs, allTariffs, putTariff } from "./tariff-queries.ts";

const IN_TIYIN = { examples: [30_000], description: "The price in tiyin; 1 sum is 100 tiyin." };

/** 100,000,000,000 sum. A higher price is a typo. */
const MAX_PRICE_TIYIN = 10_000_000_000_000;

const TARIFF = namedObject("Tariff", {
  code: Type.String({
    description: "The tariff's code.",
    pattern: TARIFF_CODE.source,
    examples: ["standard_300"],
  }),
  title: Text(1, 200, { description: "The tariff's title.", examples: ["Standard"] }),
  price_tiyin: Id(IN_TIYIN),
  currency: Type.Literal("UZS", { description: "Always UZS, the Uzbek sum." }),
  active: Type.Boolean({ description: "Whether the tariff can be ordered." }),
});

const EXPRESS = {
  code: "express_500",
  title: "Express",
  price_tiyin: 50_000,
  currency: "UZS",
  active: false,
};

interface TariffRoutesDependencies extends Needs<"store"> {
  readonly access: AccessControl;
}

/** Serves `GET /tariffs` and `PUT /tariffs/{code}`. */
export function tariffRoutes({ store, access }: TariffRoutesDependencies) {
  return new Elysia({ normalize: false })
    .get(
      "/tariffs",
      async ({ request }) => {
        const isOwner = access.infoOf(request)?.caller === "owner";
        const tariffs = await store.read((tx) => (isOwner ? allTariffs : activeTariffs)(tx));
        // Not sorted by the database: collations differ.
        return tariffs.toSorted((a, b) => (a.code < b.code ? -1 : 1)).map(toJson);
      },
      routeOptions({
        access: "client",
        response: { 200: Type.Array(TARIFF), ...problemSchemas(...KEYED_ERRORS) },
        detail: {
          operationId: "listTariffs",
          tags: ["Tariffs"],
          summary: "List tariffs",
          description:
            "Returns active tariffs with their current prices. With the owner's key, or if API_KEY is not set, returns inactive ones too.",
        },
      }),
    )
    .put(
      "/tariffs/:code",
      async ({ params: { code }, body, set }) => {
        // The router passes null if the percent-encoding is malformed.
        if (typeof code !== "string" || !TARIFF_CODE.test(code)) {
          const message = "must be 1 to 64 characters from A-Z a-z 0-9 _ . -";
          return problem(set, "validation_failed", { errors: [{ field: "code", message }] });
        }
        const tariff: Tariff = {
          code,
          title: body.title,
          priceTiyin: body.price_tiyin,
          active: body.active ?? true,
        };
        await store.run((tx) => putTariff(tx, tariff));
        return toJson(tariff);
      },
      routeOptions({
        access: "owner",
        parse: "json" as const,
        body: requestBody("PutTariff", {
          // Not the seeded tariff: trying this in Swagger UI must not change a real price.
          title: Line(1, 200, { description: "The tariff's title.", examples: [EXPRESS.title] }),
          price_tiyin: Id({
            ...IN_TIYIN,
            examples: [EXPRESS.price_tiyin],
            maximum: MAX_PRICE_TIYIN,
          }),
          active: optional(
            Type.Boolean({ examples: [EXPRESS.active] }),
            "Whether the tariff can be ordered. Default: true.",
          ),
        }),
        response: { 200: TARIFF, ...problemSchemas(...BODY_ERRORS) },
        detail: {
          operationId: "putTariff",
          tags: ["Tariffs"],
          summary: "Create or replace a tariff",
          description: "Applies to new orders; existing orders keep their amounts.",
          parameters: [
            {
              name: "code",
              in: "path" as const,
              required: true,
              description: "The tariff's code: 1 to 64 characters of A-Z a-z 0-9 _ . -",
              schema: { type: "string" as const, pattern: TARIFF_CODE.source },
              example: EXPRESS.code,
            },
          ],
          examples: {
            express: { summary: "A new, inactive tariff", value: EXPRESS },
          },
        },
      }),
    );
}

function toJson({ code, title, priceTiyin, active }: Tariff) {
  return { code, title, price_tiyin: priceTiyin, currency: "UZS" as const, active };
}
