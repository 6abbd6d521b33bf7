import type { Elysia } from "elysia";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Clock } from "../ports.ts";
import type { AccessControl } from "./access.ts";

export interface ObserverDependencies {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: Clock;
  readonly access: AccessControl;
}

/**
 * Counts each request that was answered, of whatever kind, and logs it by one line. Both name the route as
 * it is declared and not the path as it was sent, which may hold anything.
 */
export function observeRequests({ log, metrics, now, access }: ObserverDependencies) {
  // Not asked for each line: a log that is off costs nothing.
  const isLogged = log.prints("info");
  return (app: Elysia): Elysia =>
    app.wrap((handle, request) => async () => {
      const startedAt = now();
      const endRequest = metrics.startRequest();
      // `as`: the framework types its own handler as just a function.
      const response = await (handle as unknown as (request: Request) => Promise<Response>)(
        request,
      );
      const { method } = request;
      const { status, headers } = response;
      const route = access.infoOf(request)?.routes?.values().next().value?.path;
      endRequest(method, route, status);
      if (!isLogged) return response;
      const ms = now() - startedAt;
      const requestId = headers.get("x-request-id") ?? "-";
      log.info(`${method} ${route ?? "-"} ${status} ${ms} ms ${requestId}`, {
        method,
        route: route ?? "-",
        status,
        ms,
        request_id: requestId,
      });
      return response;
    });
}
