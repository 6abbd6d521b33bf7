import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { routeOptions } from "../http/access.ts";
import { KEYED_ERRORS, problemSchemas } from "../http/problems.ts";
import { namedObject } from "../http/schemas.ts";
import { METRICS_MEDIA_TYPE, type Metrics } from "../metrics.ts";
import { createWriteProbe } from "./write-probe.ts";
import { type GaugeDependencies, readGauges } from "./gauges.ts";

export interface HealthDependencies extends Omit<GaugeDependencies, "ping"> {
  readonly metrics: Metrics;
}

/**
 * `GET /`, which says that the process is there, `GET /health`, which says that it can work, and
 * `GET /metrics`, which says how it does.
 */
export function healthRoutes(dependencies: HealthDependencies) {
  const { metrics } = dependencies;
  const ping = createWriteProbe(dependencies);

  return new Elysia({ normalize: false })
    .get(
      "/",
      () => ({ message: "NoMus API is running" as const }),
      routeOptions({
        access: "open",
        anyHost: true,
        response: {
          200: namedObject("Running", { message: Type.Literal("NoMus API is running") }),
          ...problemSchemas("internal_error"),
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
        anyHost: true,
        response: {
          200: namedObject("Healthy", { status: Type.Literal("ok") }),
          ...problemSchemas("internal_error", "unavailable"),
        },
        detail: {
          operationId: "getHealth",
          tags: ["Service"],
          summary: "Can it take orders?",
          description:
            "Answers 200 once a write of the last second has reached the disk, and 503 if none can.",
        },
      }),
    )
    .get(
      "/metrics",
      async ({ set }) => {
        set.headers["content-type"] = METRICS_MEDIA_TYPE;
        return metrics.render(await readGauges({ ...dependencies, ping }));
      },
      routeOptions({
        access: "owner",
        response: { 200: Type.String(), ...problemSchemas(...KEYED_ERRORS) },
        detail: {
          operationId: "getMetrics",
          tags: ["Service"],
          summary: "Metrics",
          description: "For Prometheus, in its text format.",
        },
      }),
    );
}
