import type { ErrorCode } from "../errors.ts";
import { PROBLEMS } from "../http/problems.ts";
import { message } from "./responses.ts";
import { html, type Html } from "./html.ts";
import type { Viewer } from "./layout.ts";
import { hereOf, languageOf, targetOf } from "./request.ts";
import { REFUSALS, type RefusalCode, type Translations, TRANSLATIONS } from "./translations.ts";

/** Maximum length of a note or reference. */
export const MAX_NOTE = 300;

/** Refusals after which the same request may succeed. */
const CAN_BE_RETRIED: readonly RefusalCode[] = ["internal_error", "unavailable", "invalid_text"];

export interface Refusals {
  /** Remembers the fields of a form, to offer them again if the request fails. */
  keep(request: Request, form: URLSearchParams): void;
  /** Returns a page with the reason, and a way to retry the same input if that may succeed. */
  refuse(request: Request, code: RefusalCode, status: number): Response;
  /** Like `refuse`, with an error code of the HTTP layer. */
  answer(request: Request, code: ErrorCode): Response;
}

/** Creates the board's error pages, in the viewer's language. */
export function createRefusals(viewerOf: (request: Request) => Viewer | undefined): Refusals {
  const forms = new WeakMap<Request, URLSearchParams>();

  function refuse(request: Request, code: RefusalCode, status: number): Response {
    const language = languageOf(request);
    const texts = TRANSLATIONS[language];
    const retry = CAN_BE_RETRIED.includes(code) && retryView(request, texts);
    const fault = { status, code, title: texts.notDone, text: texts.refusals[code], retry };
    return message(viewerOf(request) ?? language, fault);
  }

  function retryView(request: Request, texts: Translations): Html | undefined {
    const form = forms.get(request);
    if (form !== undefined) return retryForm(targetOf(request).pathname, form, texts);
    if (request.method !== "GET") return undefined;
    return html`<a class="primary" href="${hereOf(request)}">${texts.tryAgain}</a>`;
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

function retryForm(action: string, form: URLSearchParams, texts: Translations): Html {
  return html`<form method="post" action="${action}" class="retry">
    ${Array.from(form, ([name, value]) => fieldView(name, value, texts))}
    <button class="primary">${texts.tryAgain}</button>
  </form>`;
}

function fieldView(name: string, value: string, texts: Translations): Html {
  // The other fields were set by the button.
  if (name !== "note" && name !== "reference") {
    return html`<input type="hidden" name="${name}" value="${value}" />`;
  }
  return html`<label class="field"
    >${texts[name]}<input
      name="${name}"
      dir="auto"
      maxlength="${MAX_NOTE}"
      value="${value}"
      autocomplete="off"
  /></label>`;
}
