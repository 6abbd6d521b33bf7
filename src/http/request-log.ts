import type { Elysia } from "elysia";
import { type Log, maskPhoneNumbers } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Clock } from "../ports.ts";
import type { AccessControl } from "./access.ts";

interface ObserverDependencies {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: Clock;
  readonly access: AccessControl;
}

/**
 * Returns a plugin that counts each answered request and logs it in one line. Both use the declared
 * route, because the path can contain anything.
 */
export function logRequests({ log, metrics, now, access }: ObserverDependencies) {
  // Checked once, so that a disabled log costs nothing per request.
  const isLogged = log.prints("info");
  return (app: Elysia): Elysia =>
    app.wrap((handle, request) => () => {
      const startedAt = isLogged ? now() : 0;
      const startedOn = metrics.startRequest();
      function observe(response: Response): Response {
        const { method } = request;
        const { status } = response;
        const route = access.infoOf(request)?.routes?.path;
        metrics.endRequest(startedOn, method, route, status);
        if (isLogged) logRequest(method, route ?? "-", response, now() - startedAt);
        return response;
      }
      // `as`: the framework types its handler only as a function.
      const answer = (handle as unknown as (request: Request) => Response | Promise<Response>)(
        request,
      );
      // Avoids a promise for synchronous responses.
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

/** Request ids that clients may choose. */
export const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Returns the id of a request for its response and the log: the client's if it is valid, else a new
 * one. Ids that the log would mask as phone numbers are replaced, including random ones.
 */
export function requestIdOf(headers: Headers, randomId: () => string): string {
  let id = headers.get("x-request-id") ?? randomId();
  while (!REQUEST_ID.test(id) || isMasked(id)) id = randomId();
  return id;
}

/** Valid ids have no plus or percent sign, so only numbers that begin with 998 are masked. */
function isMasked(id: string): boolean {
  return id.includes("998") && maskPhoneNumbers(id) !== id;
}
