import { asc, eq, sql } from "drizzle-orm";
import { prepared, type ReadTx, type Tx } from "../store/store.ts";
import { tariffs } from "../store/tables.ts";

export type Tariff = typeof tariffs.$inferSelect;

const active = prepared((tx: ReadTx) =>
  tx.select().from(tariffs).where(eq(tariffs.active, true)).orderBy(asc(tariffs.code)).prepare(),
);

/** The tariffs that can be ordered, by code. */
export function activeTariffs(tx: ReadTx): Promise<Tariff[]> {
  return active(tx).execute();
}

const all = prepared((tx: ReadTx) =>
  tx.select().from(tariffs).orderBy(asc(tariffs.code)).prepare(),
);

/** The tariffs, also those that can't be ordered, by code. */
export function allTariffs(tx: ReadTx): Promise<Tariff[]> {
  return all(tx).execute();
}

const upsert = prepared((tx) =>
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
    })
    .prepare(),
);

/** Makes the tariff, or replaces the one with its code; orders that are there keep their amounts. */
export async function putTariff(tx: Tx, tariff: Tariff): Promise<void> {
  await upsert(tx).execute({ ...tariff });
}
