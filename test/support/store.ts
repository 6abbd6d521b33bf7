import { createLog } from "../../src/log.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";

/** The real store, which says nothing; on a database in memory, unless a file is named. */
export function openStore(path = ":memory:") {
  return openSqliteStore(
    path,
    createLog({ level: "error", json: false, write: () => {}, now: () => 0 }),
  );
}
