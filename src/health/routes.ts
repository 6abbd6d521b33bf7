import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { routeOptions } from "../http/access.ts";
import { OPEN_ERRORS, problemSchemas } from "../http/problems.ts";
import type { Clock } from "../ports.ts";
import type { Store } from "../store/store.ts";

/** However often it is asked, the disk is written to once in this time. */
const PING_EVERY_MS = 1000;

/** `GET /`, which says that the process is there, and `GET /health`, which says that it can work. */
export function healthRoutes({ store, now }: { store: Store; now: Clock }) {
  let lastPing: { readonly beganAt: number; readonly reachedDisk: Promise<void> } | undefined;

  function ping(): Promise<void> {
    // Either way, for a clock may be set back.
    const isRecent = lastPing && Math.abs(now() - lastPing.beganAt) < PING_EVERY_MS;
    if (lastPing === undefined || !isRecent) {
      lastPing = { beganAt: now(), reachedDisk: store.ping() };
    }
    return lastPing.reachedDisk;
  }

  return new Elysia({ normalize: false })
    .get(
      "/",
      () => ({ message: "NoMus API is running" as const }),
      routeOptions({
        access: "open",
        response: {
          200: Type.Object({ message: Type.Literal("NoMus API is running") }),
          ...problemSchemas(...OPEN_ERRORS),
        },
        detail: {
          operationId: "getRoot",
          tags: ["Service"],
          summary: "Is it running?",
          description: "The bot's health check.",
        },
      }),
    )
    .get(
      "/health",
      async () => {
        await ping();
        return { status: "ok" as const };
      },
      routeOptions({
        access: "open",
        response: {
          200: Type.Object({ status: Type.Literal("ok") }),
          ...problemSchemas(...OPEN_ERRORS, "unavailable"),
        },
        detail: {
          operationId: "getHealth",
          tags: ["Service"],
          summary: "Can it take orders?",
          description:
            "Answers once a write of the last second has reached the disk, and 503 where it can't.",
        },
      }),
    );
}
