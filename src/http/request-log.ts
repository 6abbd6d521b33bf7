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
export function logRequests({ log, metrics, now, access }: ObserverDependencies) {
  // Not asked for each line: a log that is off costs nothing.
  const isLogged = log.prints("info");
  return (app: Elysia): Elysia =>
    app.wrap((handle, request) => () => {
      const startedAt = isLogged ? now() : 0;
      const startedOn = metrics.startRequest();
      function observe(response: Response): Response {
        const { method } = request;
        const { status } = response;
        const route = access.infoOf(request)?.path;
        metrics.endRequest(startedOn, method, route, status);
        if (isLogged) logRequest(method, route ?? "-", response, now() - startedAt);
        return response;
      }
      // `as`: the framework types its own handler as just a function.
      const answer = (handle as unknown as (request: Request) => Response | Promise<Response>)(
        request,
      );
      // One await less for what is answered at once.
      return answer instanceof Promise ? answer.then(observe) : observe(answer);
    });

  function logRequest(method: string, route: string, { status, headers }: Response, ms: number) {
    const requestId = headers.get("x-request-id") ?? "-";
    log.info(`${method} ${route} ${status} ${ms} ms ${requestId}`, {
      method,
      route,
      status,
      ms,
      request_id: requestId,
    });
  }
}
