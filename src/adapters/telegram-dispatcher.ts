import { clockTime, isolated, money } from "../lib/format.ts";
import type { Log } from "../log.ts";
import {
  type Clock,
  type DispatcherNotifier,
  type Fetch,
  type PaidOrder,
  Postponed,
} from "../ports.ts";

/** The pause after a 429 without `retry_after`: a group takes 20 messages a minute. */
const PAUSE_MS = 3000;

/** The longest pause, whatever `retry_after` says: a chat is asked again after an hour. */
const MAX_PAUSE_MS = 3_600_000;

/** Calls for one message: it may move to another chat, and lose its button. */
const MAX_CALLS = 3;

/** Matches the description of a 400 about the button, such as `BUTTON_URL_INVALID`. */
const NAMES_BUTTON = /button|url|keyboard|markup/i;

/** A title that is longer is cut: the board has it whole. */
const MAX_TITLE = 100;

export interface TelegramOptions {
  readonly token: string;
  readonly chatId: string;
  /** The topic of the chat; null for none. */
  readonly threadId: number | null;
  /** Such as `https://api.telegram.org`. */
  readonly apiUrl: string;
  /** Where the board is, for the button; Telegram takes https alone. */
  readonly publicUrl: string | null;
  readonly fetch: Fetch;
  readonly log: Log;
  readonly now: Clock;
}

/** What the Bot API answers, as far as it matters here. */
interface ApiAnswer {
  readonly ok?: boolean;
  readonly description?: string;
  readonly parameters?: { readonly retry_after?: number; readonly migrate_to_chat_id?: number };
}

/**
 * Notifies dispatchers in a Telegram chat (Bot API, `sendMessage`). Only the order's id, tariff, amount and
 * time leave the country. No error has the token in it. After a 429 the chat gets no call for as long as
 * Telegram asks, up to an hour; orders are postponed until then.
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
  ): Promise<ApiAnswer & { status: number }> {
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
    // More than the pause is left if the clock was set back.
    if (leftMs > 0 && leftMs <= pauseMs) throw new Postponed("Telegram asks to wait", leftMs);
    for (let calls = 1; ; calls++) {
      const answer = await call(order, signal);
      if (answer.ok === true) return;
      const { status, description = "no words" } = answer;
      const reason = `Telegram has answered ${status}: ${description}`;
      if (status === 429) {
        pauseMs = pauseOf(answer);
        pauseEndsAt = now() + pauseMs;
        log.info(`${reason}. Notifications wait for ${pauseMs / 1000} s.`);
        throw new Postponed(reason, pauseMs);
      }
      if (calls === MAX_CALLS || !adapt(answer)) throw new Error(reason);
    }
  }

  /** Whether the refused message may be accepted in another chat, or without its button. */
  function adapt({ status, description, parameters }: ApiAnswer & { status: number }): boolean {
    const moved = parameters?.migrate_to_chat_id;
    if (moved !== undefined) {
      chatId = String(moved);
      log.warn(`The Telegram chat is ${chatId} now: set TELEGRAM_DISPATCH_CHAT_ID to that.`);
      return true;
    }
    if (status !== 400 || boardUrl === null || !NAMES_BUTTON.test(String(description)))
      return false;
    log.warn(
      `Telegram refuses the button to ${boardUrl} (${description}): ` +
        "messages have no button until the next start. Check PUBLIC_URL.",
    );
    boardUrl = null;
    return true;
  }

  return {
    // A 429 then stops the next message before it is sent.
    isSerial: true,
    async notify(order, { signal }) {
      try {
        await send(order, signal);
      } catch (error) {
        if (error instanceof Postponed) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        // Not the error itself: the address, and with it the token, stands in it.
        throw new Error(reason.replaceAll(token, "…"));
      }
    },
  };
}

function pauseOf({ parameters }: ApiAnswer): number {
  const askedMs = Math.ceil(Number(parameters?.retry_after) * 1000);
  return askedMs > 0 ? Math.min(askedMs, MAX_PAUSE_MS) : PAUSE_MS;
}

function parse(text: string): ApiAnswer {
  try {
    const answer: unknown = JSON.parse(text);
    // `as`: every member is looked at before it is used.
    return typeof answer === "object" && answer !== null ? (answer as ApiAnswer) : {};
  } catch {
    // A proxy's page in HTML, such as a 502: the status says enough.
    return {};
  }
}

/** Plain text, in which nothing needs to be escaped. */
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
