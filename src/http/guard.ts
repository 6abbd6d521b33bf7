import { type Context, type Elysia, ValidationError } from "elysia";
import { type ErrorCode, Unavailable } from "../errors.ts";
import type { Log } from "../log.ts";
import { type AccessControl, isAllowed, type Route } from "./access.ts";
import { createHostCheck } from "./allowed-hosts.ts";
import { BodyTooLarge, isDeclaredTooLarge, limitBody } from "./body-limit.ts";
import { problem } from "./problems.ts";
import { readRequestId } from "./request-id.ts";
import { fieldErrors } from "./validation.ts";

export interface GuardDependencies {
  readonly log: Log;
  readonly randomId: () => string;
  readonly access: AccessControl;
  readonly config: { readonly allowedHosts: readonly string[] | null };
}

/**
 * What every request passes before its route: checks what can be known before the body is read, and
 * answers every error, also those of the routes, with problem details.
 */
export function guard({ log, randomId, access, config }: GuardDependencies) {
  const isAllowedHost = createHostCheck(config.allowedHosts);

  // The type that is promised has no answers: those given here stand in the document by themselves.
  return (app: Elysia): Elysia => {
    /** Why the request is not let in, if it isn't; the first reason there is, in the contract's order. */
    function rejection(request: Request, set: Context["set"]): ErrorCode | undefined {
      const { method, headers } = request;
      const { caller, routes } = access.identify(request, app);
      if (!isAllowedHost(headers.get("host"))) return "invalid_host";
      const route = routes?.get(method === "HEAD" ? "GET" : method);
      if (!isAllowed(route?.access ?? "client", caller)) {
        return caller === "anonymous" ? "missing_api_key" : "invalid_api_key";
      }
      if (routes === undefined) return "not_found";
      if (route === undefined) {
        set.headers["allow"] = allowedMethods(routes);
        return "method_not_allowed";
      }
      if (method !== "POST" && method !== "PUT") return undefined;
      // Anything else a foreign page could post from the owner's browser without asking.
      if (!isJson(headers.get("content-type") ?? "")) return "unsupported_media_type";
      return isDeclaredTooLarge(headers) ? "body_too_large" : undefined;
    }

    app
      .onRequest((context) => {
        const { request, set } = context;
        set.headers["x-request-id"] = readRequestId(request.headers) ?? randomId();
        set.headers["x-content-type-options"] = "nosniff";
        const code = rejection(request, set);
        if (code === "method_not_allowed" && request.method === "OPTIONS") {
          set.status = 204;
          return "";
        }
        if (code !== undefined) return problem(set, code);
        context.request = limitBody(request);
        return;
      })
      .onError({ as: "global" }, ({ code, error, set }) => {
        if (code === "NOT_FOUND") return problem(set, "not_found");
        if (code === "PARSE") {
          const { cause } = error;
          return problem(set, cause instanceof BodyTooLarge ? "body_too_large" : "invalid_json");
        }
        if (error instanceof ValidationError && error.type === "body") {
          return problem(set, "validation_failed", { errors: fieldErrors(error) });
        }
        log.error(`Request ${set.headers["x-request-id"]} failed.`, error);
        return problem(set, error instanceof Unavailable ? "unavailable" : "internal_error");
      });
    return app;
  };
}

function allowedMethods(routes: ReadonlyMap<string, Route>): string {
  const methods = Array.from(routes.keys(), (method) => (method === "GET" ? "GET, HEAD" : method));
  return [...methods, "OPTIONS"].join(", ");
}

function isJson(contentType: string): boolean {
  if (contentType === "application/json") return true;
  return contentType.split(";", 1)[0]?.trim().toLowerCase() === "application/json";
}
