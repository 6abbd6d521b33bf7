import { AddressUnavailable } from "./errors.ts";
import { type App, createApp } from "./app.ts";
import type { Dependencies } from "./dependencies.ts";

/** Bun rejects larger requests with an empty response, before the guard runs. */
const MAX_REQUEST_BYTES = 1024 * 1024;

/** Margin of the idle timeout over the longest response time. */
const IDLE_MARGIN_S = 5;

/** If PostgreSQL stalls, a repeat can take 10 s: 5 s in each of two transactions. */
const MIN_IDLE_S = 12;

interface Server {
  /** Such as `http://127.0.0.1:8000`, with the actual port if the configured one is 0. */
  readonly url: string;
  /** Stops accepting connections, answers running requests, then closes the store. */
  stop(): Promise<void>;
}

/**
 * Starts the service. Resolves once it serves requests. Rejects with `AddressUnavailable` if it
 * can't listen.
 */
export async function startServer(dependencies: Dependencies): Promise<Server> {
  const { host, port, paymentTimeoutMs } = dependencies.config;
  const app = createApp(dependencies);
  const stopping = new AbortController();
  const server = listen(app.http, host, port, paymentTimeoutMs);
  // Not before: a process that can't listen would repeat a notification on each restart. In the same
  // turn of the event loop, so that earlier processes' unfinished work comes before any request.
  const workers = app.run(stopping.signal);

  return {
    url: server.url.origin,
    async stop() {
      stopping.abort();
      app.closeStreams();
      const drained = server.stop();
      await Promise.race([drained, Bun.sleep(paymentTimeoutMs)]);
      // Answer requests that were just received; drop incomplete ones.
      await app.drain();
      await server.stop(true);
      await workers;
      await dependencies.store.close();
    },
  };
}

function listen(http: App, hostname: string, port: number, paymentTimeoutMs: number) {
  try {
    http.listen({
      hostname,
      port,
      // Otherwise a second instance would start and silently receive half of the requests.
      reusePort: false,
      development: false,
      idleTimeout: Math.max(MIN_IDLE_S, Math.ceil(paymentTimeoutMs / 1000) + IDLE_MARGIN_S),
      maxRequestBodySize: MAX_REQUEST_BYTES,
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AddressUnavailable(`Can't listen on ${hostname}, port ${port}: ${reason}`, { cause });
  }
  if (http.server === null) throw new Error("Elysia has no server after listen()");
  return http.server;
}
