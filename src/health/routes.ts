import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Needs } from "../dependencies.ts";
import { routeOptions } from "../http/access.ts";
import { KEYED_ERRORS, problemSchemas } from "../http/problems.ts";
import { namedObject } from "../http/schemas.ts";
import { type Gauges, METRICS_MEDIA_TYPE } from "../metrics.ts";
import type { Clock } from "../ports.ts";
import type { Store } from "../store/store.ts";
import { readWaitingOrders } from "./waiting-orders.ts";

/** Minimum interval between writes, regardless of the number of requests. */
const PING_EVERY_MS = 1000;

type HealthDependencies = Needs<"store" | "log" | "now" | "metrics", "paymentTimeoutMs">;

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
        return metrics.render(await readGauges(dependencies, ping));
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

/** Reads all gauges. Never rejects: leaves out values that it can't read, and logs the reason. */
async function readGauges(
  { store, log, now, config }: HealthDependencies,
  ping: () => Promise<void>,
): Promise<Gauges> {
  const at = now();
  const [sizes, waiting, isWritable] = await Promise.all([
    store.measure().catch(logFailure),
    // The provider may still answer for younger orders: they are not in doubt yet.
    store.read((tx) => readWaitingOrders(tx, at - config.paymentTimeoutMs)).catch(logFailure),
    ping().then(
      () => true,
      () => false,
    ),
  ]);
  const ageOf = (since: number | null) => (since === null ? 0 : Math.max(0, at - since) / 1000);
  return {
    paymentsInDoubt: waiting?.pending,
    oldestInDoubtSeconds: waiting && ageOf(waiting.pendingSince),
    unnotifiedOrders: waiting?.unnotified,
    oldestUnnotifiedSeconds: waiting && ageOf(waiting.unnotifiedSince),
    isWritable,
    commitQueue: sizes?.queuedTransactions,
    databaseBytes: sizes?.databaseBytes,
    walBytes: sizes?.walBytes,
  };

  function logFailure(error: unknown): undefined {
    log.warn("Could not read some gauges; /metrics leaves them out.", error);
  }
}

/** Returns a function that resolves once a write from the last second is on disk. */
function createWriteProbe({ store, now }: { store: Store; now: Clock }): () => Promise<void> {
  let lastPing: { readonly startedAt: number; readonly reachedDisk: Promise<void> } | undefined;

  return function ping() {
    // Absolute, because the clock may be set back.
    const isRecent = lastPing && Math.abs(now() - lastPing.startedAt) < PING_EVERY_MS;
    if (lastPing === undefined || !isRecent) {
      lastPing = { startedAt: now(), reachedDisk: store.ping() };
    }
    return lastPing.reachedDisk;
  };
}
