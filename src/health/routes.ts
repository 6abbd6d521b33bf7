import { Type } from "@sinclair/typebox";
import { eq, sql } from "drizzle-orm";
import { Elysia } from "elysia";
import { OPEN_REFUSALS, problemSchemas } from "../http/problems.ts";
import { prepared, type Store } from "../store/store.ts";
import { tariffs } from "../store/tables.ts";

const touch = prepared((tx) =>
  tx
    .update(tariffs)
    .set({ title: sql`${tariffs.title}` })
    .where(eq(tariffs.code, sql`(SELECT min(code) FROM tariffs)`))
    .prepare(),
);

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
        // A write that changes nothing, but has to reach the disk as any other.
        await store.run((tx) => touch(tx).execute());
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
