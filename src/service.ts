import { createApp, type Parts } from "./app.ts";
import type { Settings } from "./settings.ts";

/** Bun refuses what is larger by itself, before the front door could say why. */
const MAX_REQUEST_BYTES = 1024 * 1024;

/** What a connection may be silent for beyond the longest answer, before it is closed. */
const IDLE_MARGIN_S = 5;

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

/** Serves requests from when this returns on. Throws `AddressRefused` where the port is taken. */
export function startService(
  parts: Parts & { readonly settings: Pick<Settings, "host" | "port" | "paymentTimeoutMs"> },
): Service {
  const { host, port, paymentTimeoutMs } = parts.settings;
  const app = createApp(parts);
  try {
    app.listen({
      hostname: host,
      port,
      // With it a second copy would start and silently take half of the requests.
      reusePort: false,
      development: false,
      idleTimeout: Math.ceil(paymentTimeoutMs / 1000) + IDLE_MARGIN_S,
      maxRequestBodySize: MAX_REQUEST_BYTES,
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AddressRefused(`Can't listen on ${host}, port ${port}: ${reason}`, { cause });
  }
  const { server } = app;
  if (server === null) throw new Error("Elysia listens without a server");

  return {
    url: server.url.origin,
    async stop() {
      const cut = setTimeout(() => server.stop(true), paymentTimeoutMs);
      await server.stop();
      clearTimeout(cut);
      await parts.store.close();
    },
  };
}
