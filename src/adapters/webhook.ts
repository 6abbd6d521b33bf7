import { createHmac } from "node:crypto";
import type { Clock, Fetch, FetchInit, WebhookSender } from "../ports.ts";

export interface WebhookOptions {
  readonly url: string;
  /** The key of the signatures. */
  readonly secret: Uint8Array;
  readonly fetch: Fetch;
  readonly now: Clock;
}

/**
 * Posts events to the bot as the Standard Webhooks specification has it (standardwebhooks.com, 1.0.0):
 * `webhook-id` is the same at each retry, and the signature is HMAC-SHA256 of id, time and body. An event has
 * arrived once the headers of a 2xx response are there. No error has the path or query of the URL in it.
 */
export function createWebhook(options: WebhookOptions): WebhookSender {
  const { url, secret, now } = options;
  const { pathname, search } = new URL(url);
  const secretPart = pathname + search;

  async function post(init: FetchInit): Promise<Response> {
    try {
      return await options.fetch(url, init);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      // Not the error itself: Bun repeats the URL in it, and a token may be part of that.
      throw new Error(secretPart === "/" ? reason : reason.replaceAll(secretPart, "/…"));
    }
  }

  return {
    async send({ eventId, type, at, data }, { signal }) {
      const id = `evt_${eventId}`;
      const timestamp = Math.floor(now() / 1000);
      const body = JSON.stringify({
        type,
        timestamp: new Date(at).toISOString(),
        data: { ...data, event_id: id },
      });
      const signature = createHmac("sha256", secret)
        .update(`${id}.${timestamp}.${body}`)
        .digest("base64");
      const response = await post({
        method: "POST",
        headers: {
          "content-type": "application/json",
          "webhook-id": id,
          "webhook-timestamp": String(timestamp),
          "webhook-signature": `v1,${signature}`,
        },
        body,
        redirect: "manual",
        // The body is not read, so that a broken one is no failure.
        decompress: false,
        signal,
      });
      // Unread, it would hold the connection.
      response.body?.cancel().catch(() => {});
      if (!response.ok) throw new Error(`the bot has answered ${response.status}`);
    },
  };
}
