import { Elysia } from "elysia";
import type { Needs } from "../dependencies.ts";
import { routeOptions } from "../http/access.ts";
import type { ErrorPages } from "../http/guard.ts";
import { readForm } from "../http/request-body.ts";
import type { ChangeStage } from "../orders/change-stage.ts";
import { compressed, message, seeOther, createRefusals } from "./responses.ts";
import { boardVersion } from "./board-queries.ts";
import { createLiveUpdates } from "./live-updates.ts";
import { userText } from "./html.ts";
import type { Viewer } from "./layout.ts";
import { createActions } from "./actions.ts";
import { createPages } from "./pages.ts";
import { hereOf, isBoardPath, isOwnForm, languageOf, ownPage, queryOf } from "./request.ts";
import { createSessions, type SessionConfig } from "./sessions.ts";
import { createSignIn } from "./sign-in.ts";
import { createStaticFiles } from "./static-files.ts";
import { LANGUAGES, TRANSLATIONS } from "./translations.ts";

/** Pages check the session themselves. */
const access = routeOptions({
  access: "dispatcher",
  parse: "none" as const,
  detail: { hide: true },
});

interface BoardDependencies extends Needs<
  "store" | "log" | "now" | "randomId",
  "apiKeys" | keyof SessionConfig
> {
  readonly changeStage: ChangeStage;
}

/** Creates `/board`; without any routes if `API_KEY` is set but no dispatchers are. */
export function createBoard(dependencies: BoardDependencies) {
  const { store, log, now, config } = dependencies;
  const { dispatchers } = config;
  const hasBoard = config.apiKeys.length === 0 || dispatchers.length > 0;
  const sessions = createSessions(config);
  const refusals = createRefusals(viewerOf);
  const { showSignIn, signIn } = createSignIn({ ...dependencies, sessions, refusals });
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
      name,
      language,
      texts: TRANSLATIONS[language],
      canSignOut: dispatchers.length > 0,
      now: now(),
      here: hereOf(request),
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
  const { changeOrder, showPhone } = createActions({ ...dependencies, refusals });

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
        forForm(request, (viewer, form) => changeOrder(request, viewer, form, params)),
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
}

/** Refuses a form of a page that was shown to another dispatcher in the same browser. */
function otherViewer(viewer: Viewer): Response {
  return message(viewer, {
    status: 409,
    code: "other_viewer",
    title: viewer.texts.notDone,
    text: viewer.texts.otherViewer(userText(viewer.name)),
  });
}
