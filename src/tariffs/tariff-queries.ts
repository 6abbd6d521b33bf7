import { asc, eq, sql } from "drizzle-orm";
import { tariffs } from "../store/schema.ts";
import { prepared, type ReadTx } from "../store/store.ts";

export type Tariff = typeof tariffs.$inferSelect;

/** The tariffs that can be ordered, by code. */
export const activeTariffs = prepared((tx: ReadTx) =>
  tx.select().from(tariffs).where(eq(tariffs.active, true)).orderBy(asc(tariffs.code)),
);

/** The tariffs, also those that can't be ordered, by code. */
export const allTariffs = prepared((tx: ReadTx) =>
  tx.select().from(tariffs).orderBy(asc(tariffs.code)),
);

/** Makes the tariff, or replaces the one with its code; orders that are there keep their amounts. */
export const putTariff = prepared((tx) =>
  tx
    .insert(tariffs)
    .values({
      code: sql.placeholder("code"),
      title: sql.placeholder("title"),
      priceTiyin: sql.placeholder("priceTiyin"),
      active: sql.placeholder("active"),
    })
    .onConflictDoUpdate({
      target: tariffs.code,
      set: {
        title: sql`excluded.title`,
        priceTiyin: sql`excluded.price_tiyin`,
        active: sql`excluded.active`,
      },
    }),
);
