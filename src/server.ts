import { type App, createApp } from "./app.ts";
import type { Dependencies } from "./dependencies.ts";

/** Bun refuses what is larger by itself, before the guard could say why. */
const MAX_REQUEST_BYTES = 1024 * 1024;

/** What a connection may be silent for beyond the longest answer, before it is closed. */
const IDLE_MARGIN_S = 5;

/** The service can't listen; the message says why in a sentence for the owner. */
export class AddressUnavailable extends Error {
  override readonly name = "AddressUnavailable";
}

export interface Server {
  /** Such as `http://127.0.0.1:8000`, with the port that was picked where the configured one is 0. */
  readonly url: string;
  /** Takes no more connections, answers the running requests, then closes the store. */
  stop(): Promise<void>;
}

/** Serves requests from when this resolves on. Rejects with `AddressUnavailable` where it can't listen. */
export async function startServer(dependencies: Dependencies): Promise<Server> {
  const { host, port, paymentTimeoutMs } = dependencies.config;
  const app = createApp(dependencies);
  const stopping = new AbortController();
  // They look for what an earlier process has left before the first request can leave something.
  const workers = app.run(stopping.signal);
  const server = listen(app.http, host, port, paymentTimeoutMs);

  return {
    url: server.url.origin,
    async stop() {
      stopping.abort();
      app.closeStreams();
      const drained = server.stop();
      await Promise.race([drained, Bun.sleep(paymentTimeoutMs)]);
      // What is left was received just now, or not at all: the first is answered, the second is cut.
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
      // With it a second copy would start and silently take half of the requests.
      reusePort: false,
      development: false,
      idleTimeout: Math.ceil(paymentTimeoutMs / 1000) + IDLE_MARGIN_S,
      maxRequestBodySize: MAX_REQUEST_BYTES,
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AddressUnavailable(`Can't listen on ${hostname}, port ${port}: ${reason}`, { cause });
  }
  if (http.server === null) throw new Error("Elysia listens without a server");
  return http.server;
}
