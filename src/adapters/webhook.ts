import { createHmac } from "node:crypto";
import type { Clock, Fetch, WebhookSender } from "../ports.ts";

export interface WebhookOptions {
  readonly url: string;
  /** The key of the signatures. */
  readonly secret: Uint8Array;
  readonly fetch: Fetch;
  readonly now: Clock;
}

/**
 * Posts events to the bot as the Standard Webhooks specification has it (standardwebhooks.com, 1.0.0):
 * `webhook-id` is the same at each retry, and the signature is HMAC-SHA256 of id, time and body. Whatever is
 * not answered with 2xx has not arrived.
 */
export function createWebhook(options: WebhookOptions): WebhookSender {
  const { url, secret, now } = options;
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
      const response = await options.fetch(url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "webhook-id": id,
          "webhook-timestamp": String(timestamp),
          "webhook-signature": `v1,${signature}`,
        },
        body,
        redirect: "manual",
        signal,
      });
      // What it says is of no use to us; unread it would hold the connection.
      await response.body?.cancel();
      if (!response.ok) throw new Error(`the bot has answered ${response.status}`);
    },
  };
}
