import { readSettings } from "../config.ts";
import { allTariffs } from "../tariffs/tariff-queries.ts";
import type { RunCommand } from "./command.ts";
import { withReader } from "./database.ts";
import { formatTable } from "./terminal.ts";

/** `nmservis tariffs`: shows all tariffs, including inactive ones. */
export const tariffs: RunCommand = async ({ environment, print }) => {
  const { database } = readSettings(environment, ["database"]);
  const rows = await withReader(database, (reader) => reader.read((tx) => allTariffs(tx)));
  const byCode = rows.toSorted((a, b) => (a.code < b.code ? -1 : 1));
  const cells = byCode.map(({ code, title, priceTiyin, active }) => [
    code,
    title,
    { tiyin: priceTiyin },
    active ? "yes" : "no",
  ]);
  formatTable(["code", "title", "sum", "can be ordered"], cells).forEach(print);
};
