import { eq, sql } from "drizzle-orm";
import { prepared, type ReadTx } from "../store/store.ts";

/** The tariffs that can be ordered. */
export const activeTariffs = prepared((tx: ReadTx, { tariffs }) =>
  tx.select().from(tariffs).where(eq(tariffs.active, true)),
);

/** The tariffs, also those that can't be ordered. */
export const allTariffs = prepared((tx: ReadTx, { tariffs }) => tx.select().from(tariffs));

/** Makes the tariff, or replaces the one with its code; orders that are there keep their amounts. */
export const putTariff = prepared((tx, { tariffs }) =>
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
