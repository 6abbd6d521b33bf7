import { Type } from "@sinclair/typebox";
import { eq, sql } from "drizzle-orm";
import { Elysia } from "elysia";
import { OPEN_REFUSALS, problemSchemas } from "../http/problems.ts";
import { prepared, type Store, type Tx } from "../store/store.ts";
import { tariffs } from "../store/tables.ts";

const flip = prepared((tx) =>
  tx
    .update(tariffs)
    .set({ active: sql`1 - ${tariffs.active}` })
    .where(eq(tariffs.code, sql`(SELECT min(code) FROM tariffs)`))
    .prepare(),
);

/** Leaves all as it was, and has to reach the disk as any other change: what is equal SQLite would not write. */
async function touch(tx: Tx): Promise<void> {
  await flip(tx).execute();
  await flip(tx).execute();
}

/** `GET /`, which says that the process is there, and `GET /health`, which says that it can work. */
export function healthRoutes({ store }: { store: Store }) {
  return new Elysia({ normalize: false })
    .get("/", () => ({ message: "NoMus API is running" as const }), {
      response: {
        200: Type.Object({ message: Type.Literal("NoMus API is running") }),
        ...problemSchemas(...OPEN_REFUSALS),
      },
      detail: {
        operationId: "getRoot",
        tags: ["Service"],
        security: [],
        summary: "Is it running?",
        description: "The bot's health check.",
      },
    })
    .get(
      "/health",
      async () => {
        await store.run(touch);
        return { status: "ok" as const };
      },
      {
        response: {
          200: Type.Object({ status: Type.Literal("ok") }),
          ...problemSchemas(...OPEN_REFUSALS, "unavailable"),
        },
        detail: {
          operationId: "getHealth",
          tags: ["Service"],
          security: [],
          summary: "Can it take orders?",
          description: "Answers once a write has reached the disk, and 503 where it can't.",
        },
      },
    );
}
