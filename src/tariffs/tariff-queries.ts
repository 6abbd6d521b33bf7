import { eq, sql } from "drizzle-orm";
import { prepared, type ReadTx } from "../store/store.ts";

/** Selects the tariffs that can be ordered. */
export const activeTariffs = prepared((tx: ReadTx, { tariffs }) =>
  tx.select().from(tariffs).where(eq(tariffs.active, true)),
);

/** Selects all tariffs, including inactive ones. */
export const allTariffs = prepared((tx: ReadTx, { tariffs }) => tx.select().from(tariffs));

/** Creates or replaces a tariff. Existing orders keep their amounts. */
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
