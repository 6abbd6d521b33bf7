import { type App, createApp, type Parts } from "./app.ts";

/** Bun refuses what is larger by itself, before the front door could say why. */
const MAX_REQUEST_BYTES = 1024 * 1024;

/** What a connection may be silent for beyond the longest answer, before it is closed. */
const IDLE_MARGIN_S = 5;

/** For what goes on beside the requests when the last of them is answered. */
const STOP_MARGIN_MS = 500;

/** The service can't listen; the message says why in a sentence for the owner. */
export class AddressRefused extends Error {
  override readonly name = "AddressRefused";
}

export interface Service {
  /** Such as `http://127.0.0.1:8000`, with the port that was picked where the setting is 0. */
  readonly url: string;
  /** Takes no more connections, answers the running requests, then closes the store. */
  stop(): Promise<void>;
}

/** Serves requests from when this resolves on. Rejects with `AddressRefused` where it can't listen. */
export async function startService(parts: Parts): Promise<Service> {
  const { host, port, paymentTimeoutMs } = parts.settings;
  const app = createApp(parts);
  // Should there be no room to write so, each order is due at its own time all the same.
  await app.resume().catch((fault) => parts.log.error("Can't resume what is due at once.", fault));
  const server = listen(app.http, host, port, paymentTimeoutMs);
  const ending = new AbortController();
  const duties = app.run(ending.signal);

  return {
    url: server.url.origin,
    async stop() {
      ending.abort();
      app.settler.endBy(parts.now() + paymentTimeoutMs);
      const drained = server.stop();
      await Promise.race([drained, Bun.sleep(paymentTimeoutMs)]);
      // What is left has been received just now, or not at all: the first is answered, the second is cut.
      await app.ordersAnswered();
      await server.stop(true);
      await duties;
      // What else is in hand is due already: the next process will find it.
      await Promise.race([app.idle(), Bun.sleep(STOP_MARGIN_MS)]);
      await parts.store.close();
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
    throw new AddressRefused(`Can't listen on ${hostname}, port ${port}: ${reason}`, { cause });
  }
  if (http.server === null) throw new Error("Elysia listens without a server");
  return http.server;
}
