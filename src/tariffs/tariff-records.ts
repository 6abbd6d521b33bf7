import { asc, eq } from "drizzle-orm";
import { prepared, type Tx } from "../store/store.ts";
import { tariffs } from "../store/tables.ts";

export type Tariff = typeof tariffs.$inferSelect;

const active = prepared((tx) =>
  tx.select().from(tariffs).where(eq(tariffs.active, true)).orderBy(asc(tariffs.code)).prepare(),
);

/** The tariffs that can be ordered, by code. */
export function activeTariffs(tx: Tx): Promise<Tariff[]> {
  return active(tx).execute();
}
