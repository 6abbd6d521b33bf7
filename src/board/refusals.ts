import type { ErrorCode } from "../errors.ts";
import { PROBLEMS } from "../http/problems.ts";
import { message } from "./responses.ts";
import { html, type Html } from "./html.ts";
import type { Viewer } from "./layout.ts";
import { hereOf, languageOf, targetOf } from "./request.ts";
import { REFUSALS, type RefusalCode, type Translations, TRANSLATIONS } from "./translations.ts";

/** The longest note or reference. */
export const MAX_NOTE = 300;

/** Refusals that leave the request as good as before. */
const CAN_BE_RETRIED: readonly RefusalCode[] = ["internal_error", "unavailable", "invalid_text"];

export interface Refusals {
  /** Keeps the fields of a form of ours, to offer them again if the request fails. */
  keep(request: Request, form: URLSearchParams): void;
  /** A page that says why the request was refused; it offers a retry with the same input if that can help. */
  refuse(request: Request, code: RefusalCode, status: number): Response;
  /** The same for an error of the HTTP layer. */
  answer(request: Request, code: ErrorCode): Response;
}

/** The board's error pages, in the viewer's language. */
export function createRefusals(viewerOf: (request: Request) => Viewer | undefined): Refusals {
  const forms = new WeakMap<Request, URLSearchParams>();

  function refuse(request: Request, code: RefusalCode, status: number): Response {
    const language = languageOf(request);
    const words = TRANSLATIONS[language];
    const retry = CAN_BE_RETRIED.includes(code) && retryView(request, words);
    const fault = { status, code, title: words.notDone, text: words.refusals[code], retry };
    return message(viewerOf(request) ?? language, fault);
  }

  function retryView(request: Request, words: Translations): Html | undefined {
    const form = forms.get(request);
    if (form !== undefined) return retryForm(targetOf(request).pathname, form, words);
    if (request.method !== "GET") return undefined;
    return html`<a class="primary" href="${hereOf(request)}">${words.tryAgain}</a>`;
  }

  return {
    keep: (request, form) => void forms.set(request, form),
    refuse,
    answer(request, code) {
      const own = REFUSALS.find((one) => one === code) ?? "internal_error";
      return refuse(request, own, PROBLEMS[code].status);
    },
  };
}

function retryForm(action: string, form: URLSearchParams, words: Translations): Html {
  return html`<form method="post" action="${action}" class="retry">
    ${Array.from(form, ([name, value]) => fieldView(name, value, words))}
    <button class="primary">${words.tryAgain}</button>
  </form>`;
}

function fieldView(name: string, value: string, words: Translations): Html {
  // The other fields say what was tapped.
  if (name !== "note" && name !== "reference") {
    return html`<input type="hidden" name="${name}" value="${value}" />`;
  }
  return html`<label class="field"
    >${words[name]}<input
      name="${name}"
      dir="auto"
      maxlength="${MAX_NOTE}"
      value="${value}"
      autocomplete="off"
  /></label>`;
}
