import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { problemSchemas } from "../http/problems.ts";
import type { Store } from "../store/store.ts";
import { activeTariffs, type Tariff } from "./tariff-records.ts";

const TARIFF = Type.Object({
  code: Type.String({ examples: ["standard_300"] }),
  title: Type.String({ examples: ["Standard"] }),
  price_tiyin: Type.Integer({ minimum: 1, examples: [30_000], description: "1 sum is 100 tiyin." }),
  currency: Type.Literal("UZS"),
  active: Type.Boolean(),
});

/** `GET /tariffs`. */
export function tariffRoutes({ store }: { store: Store }) {
  return new Elysia({ normalize: false }).get(
    "/tariffs",
    async () => (await store.run(activeTariffs)).map(toJson),
    {
      response: { 200: Type.Array(TARIFF), ...problemSchemas("internal_error", "unavailable") },
      detail: {
        operationId: "listTariffs",
        tags: ["Tariffs"],
        summary: "List the tariffs",
        description: "What can be ordered, with today's prices.",
      },
    },
  );
}

function toJson({ code, title, priceTiyin, active }: Tariff) {
  return { code, title, price_tiyin: priceTiyin, currency: "UZS" as const, active };
}
