import { sqliteColumns } from "../dialect.ts";
import { createTables } from "../schema.ts";

export const { users, tariffs, orders, orderEvents, usedLinks } = createTables(sqliteColumns);
