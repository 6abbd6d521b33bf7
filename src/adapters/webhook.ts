import { hmac } from "../lib/digest.ts";
import type { Clock, Fetch, FetchInit, WebhookSender } from "../ports.ts";

interface WebhookOptions {
  readonly url: string;
  /** The signing key. */
  readonly secret: Uint8Array;
  readonly fetch: Fetch;
  readonly now: Clock;
}

/**
 * Creates a sender of signed events (Standard Webhooks 1.0.0, standardwebhooks.com). `webhook-id`
 * is the same in each retry. The signature is HMAC-SHA256 over id, time and body. An event is
 * delivered when the headers of a 2xx response arrive. Errors omit the URL's path and query.
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
      // Not the error itself: it contains the URL, which may include a token.
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
      const signature = hmac(secret, `${id}.${timestamp}.${body}`, "base64");
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
        // The body is not read, so a corrupt one must not fail the delivery.
        decompress: false,
        signal,
      });
      // An unread body would keep the connection busy.
      response.body?.cancel().catch(() => {});
      if (!response.ok) throw new Error(`the bot answered ${response.status}`);
    },
  };
}
