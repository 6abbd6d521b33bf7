import { clockTime, isolated, money } from "../lib/format.ts";
import type { Log } from "../log.ts";
import {
  type Clock,
  type DispatcherNotifier,
  type Fetch,
  type PaidOrder,
  Postponed,
} from "../ports.ts";

/** Pause after a 429 without `retry_after`. A group accepts 20 messages a minute. */
const PAUSE_MS = 3000;

/** Longest pause, even if `retry_after` is longer. */
const MAX_PAUSE_MS = 3_600_000;

/** Maximum calls per message: the chat may have moved, and the button may be refused. */
const MAX_CALLS = 3;

/** Matches the description of a 400 about the button, such as `BUTTON_URL_INVALID`. */
const BUTTON_ERROR = /button|url|keyboard|markup/i;

/** Longer titles are truncated; the board shows the full title. */
const MAX_TITLE = 100;

interface TelegramOptions {
  readonly token: string;
  readonly chatId: string;
  /** The chat's topic, if any. */
  readonly threadId: number | null;
  /** The Bot API's address, such as `https://api.telegram.org`. */
  readonly apiUrl: string;
  /** The service's public origin, needed for the button. Telegram accepts only https. */
  readonly publicUrl: string | null;
  readonly fetch: Fetch;
  readonly log: Log;
  readonly now: Clock;
}

/** The relevant part of a Bot API response. */
interface ApiResponse {
  readonly ok?: boolean;
  readonly description?: string;
  readonly parameters?: { readonly retry_after?: number; readonly migrate_to_chat_id?: number };
}

/**
 * Creates a notifier that writes to a Telegram chat (Bot API, `sendMessage`). Only the order's id,
 * tariff, amount and time leave the country. Errors never contain the token. After a 429, makes no
 * call for as long as Telegram asks, up to an hour, and postpones orders until then.
 */
export function createTelegramDispatcher(options: TelegramOptions): DispatcherNotifier {
  const { token, threadId, apiUrl, log, now } = options;
  let { chatId } = options;
  let boardUrl = options.publicUrl?.startsWith("https:") ? `${options.publicUrl}/board` : null;
  let pauseMs = 0;
  let pauseEndsAt = 0;

  async function call(
    order: PaidOrder,
    signal: AbortSignal,
  ): Promise<ApiResponse & { status: number }> {
    const response = await options.fetch(`${apiUrl}/bot${token}/sendMessage`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        chat_id: chatId,
        ...(threadId !== null && { message_thread_id: threadId }),
        ...messageOf(order, boardUrl),
      }),
      redirect: "manual",
      signal,
    });
    const text = await response.text();
    return { ...parse(text), status: response.status };
  }

  async function send(order: PaidOrder, signal: AbortSignal): Promise<void> {
    const leftMs = pauseEndsAt - now();
    // If more than the pause is left, the clock was set back.
    if (leftMs > 0 && leftMs <= pauseMs) throw new Postponed("Telegram asked us to wait", leftMs);
    for (let calls = 1; ; calls++) {
      const answer = await call(order, signal);
      if (answer.ok === true) return;
      const { status, description = "no description" } = answer;
      const reason = `Telegram answered ${status}: ${description}`;
      if (status === 429) {
        pauseMs = pauseOf(answer);
        pauseEndsAt = now() + pauseMs;
        log.info(`${reason}. Pausing notifications for ${pauseMs / 1000} s.`);
        throw new Postponed(reason, pauseMs);
      }
      if (calls === MAX_CALLS || !adapt(answer)) throw new Error(reason);
    }
  }

  /** Switches to the chat's new id or drops the button. Returns whether a retry may succeed. */
  function adapt({ status, description, parameters }: ApiResponse & { status: number }): boolean {
    const moved = parameters?.migrate_to_chat_id;
    if (moved !== undefined) {
      chatId = String(moved);
      log.warn(`The Telegram chat moved to ${chatId}. Set TELEGRAM_DISPATCH_CHAT_ID to this id.`);
      return true;
    }
    if (status !== 400 || boardUrl === null || !BUTTON_ERROR.test(String(description)))
      return false;
    log.warn(
      `Telegram refuses the button to ${boardUrl} (${description}): ` +
        "sending messages without it until the next start. Check PUBLIC_URL.",
    );
    boardUrl = null;
    return true;
  }

  return {
    // Serial, so that a 429 postpones the next message before it is sent.
    isSerial: true,
    async notify(order, { signal }) {
      try {
        await send(order, signal);
      } catch (error) {
        if (error instanceof Postponed) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        // Not the error itself: it contains the URL, and with it the token.
        throw new Error(reason.replaceAll(token, "…"));
      }
    },
  };
}

function pauseOf({ parameters }: ApiResponse): number {
  const requestedMs = Math.ceil(Number(parameters?.retry_after) * 1000);
  return requestedMs > 0 ? Math.min(requestedMs, MAX_PAUSE_MS) : PAUSE_MS;
}

function parse(text: string): ApiResponse {
  try {
    const answer: unknown = JSON.parse(text);
    // `as`: every field is checked before use.
    return typeof answer === "object" && answer !== null ? (answer as ApiResponse) : {};
  } catch {
    // HTML from a proxy, such as a 502 page: the status is enough.
    return {};
  }
}

/** Builds a plain-text message, which needs no escaping. */
function messageOf(
  { orderId, amountTiyin, tariffTitle, paidAt }: PaidOrder,
  boardUrl: string | null,
) {
  const title = isolated(Array.from(tariffTitle).slice(0, MAX_TITLE).join(""));
  const text = `№ ${orderId} · ${title} · ${money(amountTiyin)} сум · ${clockTime(paidAt)}`;
  if (boardUrl === null) return { text };
  const button = { text: `№ ${orderId}`, url: `${boardUrl}/orders/${orderId}` };
  return { text, reply_markup: { inline_keyboard: [[button]] } };
}
