import type { Elysia } from "elysia";
import type { Log } from "../log.ts";
import type { Clock } from "../ports.ts";
import type { AccessControl } from "./access.ts";

export interface RequestLogDependencies {
  readonly log: Log;
  readonly now: Clock;
  readonly access: AccessControl;
}

/**
 * One line for each request that was answered, of whatever kind. It names the route as it is declared
 * and not the path as it was sent, which may hold anything.
 */
export function requestLog({ log, now, access }: RequestLogDependencies) {
  return (app: Elysia): Elysia => {
    // Not asked for each line: a log that is off costs nothing.
    if (!log.prints("info")) return app;
    return app.wrap((handle, request) => async () => {
      const startedAt = now();
      // `as`: the framework types its own handler as just a function.
      const response = await (handle as unknown as (request: Request) => Promise<Response>)(
        request,
      );
      const ms = now() - startedAt;
      const { method } = request;
      const { status, headers } = response;
      const route = access.infoOf(request)?.routes?.values().next().value?.path ?? "-";
      const requestId = headers.get("x-request-id") ?? "-";
      log.info(`${method} ${route} ${status} ${ms} ms ${requestId}`, {
        method,
        route,
        status,
        ms,
        request_id: requestId,
      });
      return response;
    });
  };
}
