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
 * Serves `GET /` (the process is running), `GET /health` (the database accepts writes) and
 * `GET /metrics`.
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
          200: namedObject("Running", {
            message: Type.Literal("NoMus API is running", { description: "Always this string." }),
          }),
          ...problemSchemas("internal_error"),
        },
        detail: {
          operationId: "getRoot",
          tags: ["Health and metrics"],
          summary: "Check that the service is running",
          description: "Used by the bot. Does not check the database; see /health.",
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
          200: namedObject("Healthy", {
            status: Type.Literal("ok", { description: "The database accepts writes." }),
          }),
          ...problemSchemas("internal_error", "unavailable"),
        },
        detail: {
          operationId: "getHealth",
          tags: ["Health and metrics"],
          summary: "Check that the database accepts writes",
          description:
            "Returns 200 if a write reached the disk within the last second, otherwise 503.",
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
          tags: ["Health and metrics"],
          summary: "Get metrics",
          description: "Returns metrics in the Prometheus text format.",
        },
      }),
    );
}
