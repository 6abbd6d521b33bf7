import { clockTime, isolated, money } from "../format.ts";
import type { Log } from "../log.ts";
import type { Clock, DispatcherNotifier, Fetch, PaidOrder } from "../ports.ts";

/** A group takes 20 messages a minute; after a 429 without a number we wait so long. */
const PAUSE_MS = 3000;

/** A title that is longer is cut: the board has it whole. */
const MAX_TITLE = 100;

export interface TelegramOptions {
  readonly token: string;
  readonly chatId: string;
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
 * Tells dispatchers in a Telegram chat (Bot API, `sendMessage`), one message at a time. What leaves the country
 * is the order's number, tariff, amount and time. No fault has the token in it.
 */
export function createTelegramDispatcher(options: TelegramOptions): DispatcherNotifier {
  const { token, apiUrl, publicUrl, log, now } = options;
  let chatId = options.chatId;
  /** Before this nothing is sent, in ms. */
  let notBefore = Number.NEGATIVE_INFINITY;
  let last: Promise<unknown> = Promise.resolve();

  async function call(
    order: PaidOrder,
    signal: AbortSignal,
  ): Promise<ApiAnswer & { status: number }> {
    const response = await options.fetch(`${apiUrl}/bot${token}/sendMessage`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ chat_id: chatId, ...messageOf(order, publicUrl) }),
      redirect: "manual",
      signal,
    });
    const text = await response.text();
    return { ...parse(text), status: response.status };
  }

  async function send(order: PaidOrder, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (now() < notBefore) throw new Error("Telegram wants us to wait");
    let answer = await call(order, signal);
    const moved = answer.parameters?.migrate_to_chat_id;
    if (answer.ok !== true && moved !== undefined) {
      chatId = String(moved);
      log.warn(`The Telegram chat is ${chatId} now: set TELEGRAM_DISPATCH_CHAT_ID to that.`);
      answer = await call(order, signal);
    }
    if (answer.ok === true) return;
    if (answer.status === 429) {
      const asked = (answer.parameters?.retry_after ?? 0) * 1000;
      notBefore = now() + Math.max(asked, PAUSE_MS);
    }
    throw new Error(`Telegram has answered ${answer.status}: ${answer.description ?? "no words"}`);
  }

  return {
    notify(order, { signal }) {
      const sent = last.then(() => send(order, signal));
      // Whoever waits behind a message that hangs is given up as well, and its turn passes at once.
      last = Promise.race([sent, aborted(signal)]).catch(() => {});
      return sent.catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        // Not the error itself: the address, and with it the token, stands in it.
        throw new Error(reason.replaceAll(token, "…"));
      });
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true }),
  );
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
  publicUrl: string | null,
) {
  const title = isolated(Array.from(tariffTitle).slice(0, MAX_TITLE).join(""));
  const text = `№ ${orderId} · ${title} · ${money(amountTiyin)} сум · ${clockTime(paidAt)}`;
  if (!publicUrl?.startsWith("https:")) return { text };
  const button = { text: `№ ${orderId}`, url: `${publicUrl}/board/orders/${orderId}` };
  return { text, reply_markup: { inline_keyboard: [[button]] } };
}
