import { Value } from "@sinclair/typebox/value";
import { Elysia } from "elysia";
import { clockTime } from "../lib/format.ts";
import type { Config } from "../config.ts";
import { routeOptions } from "../http/access.ts";
import type { ErrorPages } from "../http/guard.ts";
import { parseInteger, Lines } from "../http/schemas.ts";
import { readForm } from "../http/request-body.ts";
import type { Log } from "../log.ts";
import { insertEvent } from "../orders/event-queries.ts";
import type { StageChange, ChangeStage } from "../orders/change-stage.ts";
import type { Clock } from "../ports.ts";
import { CANCEL_REASONS, type OrderEvent, STAGES } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { compressed, message, notFound, seeOther, createRefusals, MAX_NOTE } from "./responses.ts";
import { boardVersion, cardById } from "./board-queries.ts";
import { createLiveUpdates } from "./live-updates.ts";
import { userText } from "./html.ts";
import type { Viewer } from "./layout.ts";
import { createPages } from "./pages.ts";
import {
  hereOf,
  isBoardPath,
  isOwnForm,
  languageOf,
  ownPage,
  queryOf,
  withDone,
} from "./request.ts";
import { DEFAULT_NAME, createSessions, type SessionConfig } from "./sessions.ts";
import { createSignIn, createSignInLinks } from "./sign-in.ts";
import { createStaticFiles } from "./static-files.ts";
import { LANGUAGES, TRANSLATIONS } from "./translations.ts";

/** Pages check the session themselves. */
const access = routeOptions({
  access: "dispatcher",
  parse: "none" as const,
  detail: { hide: true },
});

const NOTE = Lines(1, MAX_NOTE);

export interface BoardDependencies {
  readonly store: Store;
  readonly changeStage: ChangeStage;
  readonly log: Log;
  readonly now: Clock;
  readonly randomId: () => string;
  readonly config: SessionConfig & Pick<Config, "apiKeys">;
}

/** Creates `/board`; without any routes if `API_KEY` is set but no dispatchers are. */
export function createBoard(dependencies: BoardDependencies) {
  const { store, changeStage, log, now, randomId, config } = dependencies;
  const { dispatchers, publicUrl } = config;
  const hasBoard = config.apiKeys.length === 0 || dispatchers.length > 0;
  const sessions = createSessions(config);
  const refusals = createRefusals(viewerOf);
  const { showSignIn, signIn } = createSignIn({
    ...{ sessions, refusals, log, now, randomId, publicUrl },
    links: createSignInLinks(dispatchers, store, now),
  });
  const changes = createLiveUpdates(async () => {
    const [version] = await store.read((tx) => boardVersion(tx));
    if (version === undefined) throw new Error("the board version query returned no row");
    return version;
  }, log);

  function viewerOf(request: Request): Viewer | undefined {
    const name = sessions.nameOf(request.headers.get("cookie"), now());
    if (name === undefined) return undefined;
    const language = languageOf(request);
    return {
      ...{ name, language, texts: TRANSLATIONS[language], now: now(), here: hereOf(request) },
      canSignOut: dispatchers.length > 0,
    };
  }

  /** Shows a page to a signed-in dispatcher; redirects anyone else to the sign-in. */
  async function forViewer(
    request: Request,
    show: (viewer: Viewer) => Promise<Response>,
  ): Promise<Response> {
    const viewer = viewerOf(request);
    if (viewer !== undefined) return compressed(request, await show(viewer));
    return seeOther(`/board/sign-in?to=${encodeURIComponent(hereOf(request))}`);
  }

  /** Like `forViewer`, but requires that a page of the board sent the form. */
  async function forForm(
    request: Request,
    act: (viewer: Viewer, form: URLSearchParams) => Promise<Response>,
  ): Promise<Response> {
    // Offers no retry: the dispatcher could be tricked into sending another site's form.
    if (!isOwnForm(request)) return refusals.refuse(request, "foreign_form", 403);
    return forViewer(request, async (viewer) => {
      const form = await readForm(request);
      if (form === undefined) return refusals.refuse(request, "invalid_form", 400);
      if ((form.get("viewer") ?? viewer.name) !== viewer.name) return otherViewer(viewer);
      refusals.keep(request, form);
      return act(viewer, form);
    });
  }

  const { showBoard, showDays, showOrder, showFound } = createPages(store);

  async function work(
    request: Request,
    viewer: Viewer,
    form: URLSearchParams,
    params: Params,
  ): Promise<Response> {
    const orderId = parseInteger(params.order_id);
    const seen = STAGES.find((stage) => stage === form.get("seen"));
    const seenAt = parseInteger(form.get("seen_at") ?? "");
    const wanted = readWork(params.verb, form);
    if (orderId === undefined) return notFound(viewer);
    if (wanted === "invalid_text") return refusals.refuse(request, wanted, 422);
    if (seen === undefined || wanted === undefined) return refuse(viewer, orderId);
    const outcome = await changeStage({ orderId, actor: viewer.name, seen, seenAt, work: wanted });
    switch (outcome.kind) {
      case "done":
        return seeOther(pageAfterStep(form.get("back"), orderId));
      case "order_not_found":
        return notFound(viewer);
      case "no_such_transition":
        return refuse(viewer, orderId);
      case "stage_changed":
        return conflict(viewer, orderId, outcome.last);
    }
  }

  async function showPhone(viewer: Viewer, text: string): Promise<Response> {
    const orderId = parseInteger(text);
    const [card] = orderId ? await store.read((tx) => cardById(tx, { orderId })) : [];
    if (card === undefined) return notFound(viewer);
    await store.run((tx) =>
      insertEvent(tx, {
        ...{ orderId: card.id, at: now(), actor: viewer.name, kind: "phone_shown" },
        ...{ fromStage: null, toStage: null, reason: null, note: null, dueAt: null },
      }),
    );
    return seeOther(`/board/orders/${card.id}`);
  }

  const http = new Elysia({ normalize: false });
  for (const [path, send] of Object.entries(createStaticFiles())) {
    http.get(path, ({ request }) => send(request), access);
  }
  http
    .get(
      "/board",
      ({ request }) => forViewer(request, (viewer) => showBoard(viewer, queryOf(request))),
      access,
    )
    .get(
      "/board/days",
      ({ request }) => forViewer(request, (viewer) => showDays(viewer, queryOf(request))),
      access,
    )
    .get(
      "/board/search",
      ({ request }) => forViewer(request, (viewer) => showFound(viewer, queryOf(request).get("q"))),
      access,
    )
    .get(
      "/board/orders/:order_id",
      ({ request, params }) => forViewer(request, (viewer) => showOrder(viewer, params.order_id)),
      access,
    )
    .get(
      "/board/changes",
      ({ request, server }) => {
        if (viewerOf(request) === undefined) return refusals.refuse(request, "no_session", 403);
        // The stream is silent for longer than the idle timeout.
        server?.timeout(request, 0);
        // The stream of a HEAD request would never be read or closed.
        return new Response(request.method === "HEAD" ? null : changes.open(), {
          headers: { "content-type": "text/event-stream", "x-accel-buffering": "no" },
        });
      },
      access,
    )
    .get(
      "/board/language/:language",
      ({ request, params }) => {
        const language = LANGUAGES.find((one) => one === params.language) ?? LANGUAGES[0];
        return seeOther(
          ownPage(queryOf(request).get("to")),
          `lang=${language}; Path=/board; Max-Age=31536000; SameSite=Lax`,
        );
      },
      access,
    )
    .get(
      "/board/sign-in",
      async ({ request }) => compressed(request, await showSignIn(request)),
      access,
    )
    .post(
      "/board/sign-in",
      async ({ request, set }) =>
        compressed(request, await signIn(request, String(set.headers["x-request-id"]))),
      access,
    )
    .post(
      "/board/sign-out",
      ({ request }) => forForm(request, async () => seeOther("/board/sign-in", sessions.end())),
      access,
    )
    .post(
      "/board/orders/:order_id/phone",
      ({ request, params }) => forForm(request, (viewer) => showPhone(viewer, params.order_id)),
      access,
    )
    .post(
      "/board/orders/:order_id/:verb",
      ({ request, params }) =>
        forForm(request, (viewer, form) => work(request, viewer, form, params)),
      access,
    );

  const errorPages: ErrorPages = {
    covers: (request) => hasBoard && isBoardPath(request),
    answer: refusals.answer,
  };

  return {
    http: hasBoard ? http : new Elysia(),
    errorPages,
    /** Closes the open streams. */
    close: changes.close,
  };

  function conflict(viewer: Viewer, orderId: number, last: OrderEvent | undefined): Response {
    const { texts } = viewer;
    const what = last ? texts.events[last.kind] : texts.paid;
    const who = userText(last?.actor ?? DEFAULT_NAME);
    return message(viewer, {
      ...{ status: 409, code: "stage_changed", orderId },
      title: `№ ${orderId}: ${texts.changedTitle}`,
      text: texts.changed(what, who, clockTime(last?.at ?? viewer.now)),
    });
  }
}

type Params = { readonly order_id: string; readonly verb: string };

/** Reads the requested change; undefined if the board has no such form. */
function readWork(verb: string, form: URLSearchParams): StageChange | "invalid_text" | undefined {
  switch (verb) {
    case "accept":
    case "start":
    case "complete":
    case "undo":
      return { verb };
    case "cancel": {
      const reason = CANCEL_REASONS.find((one) => one === form.get("reason"));
      const note = form.get("note")?.trim() || null;
      if (reason === undefined) return undefined;
      if (note !== null && !Value.Check(NOTE, note)) return "invalid_text";
      return { verb, reason, note, isMoneyOwed: form.has("owed") };
    }
    case "refund": {
      const reference = form.get("reference")?.trim();
      return Value.Check(NOTE, reference) ? { verb, reference } : "invalid_text";
    }
    default:
      return undefined;
  }
}

/** Returns the page that the form was on; the board confirms the step. */
function pageAfterStep(back: string | null, orderId: number): string {
  const page = ownPage(back);
  return page.startsWith("/board/") ? page : withDone(page, orderId);
}

/** Refuses a form of a page that was shown to another dispatcher in the same browser. */
function otherViewer(viewer: Viewer): Response {
  const { notDone, otherViewer: text } = viewer.texts;
  return message(viewer, {
    ...{ status: 409, code: "other_viewer", title: notDone, text: text(userText(viewer.name)) },
  });
}

function refuse(viewer: Viewer, orderId: number): Response {
  const text = viewer.texts.noSuchStep;
  return message(viewer, {
    ...{ status: 422, code: "no_such_transition", title: `№ ${orderId}`, text, orderId },
  });
}
