import { Value } from "@sinclair/typebox/value";
import { Elysia } from "elysia";
import idiomorphPath from "idiomorph/dist/idiomorph.min.js" with { type: "file" };
import { clockTime } from "../format.ts";
import type { Dispatcher } from "../config.ts";
import { routeOptions } from "../http/access.ts";
import { parseInteger } from "../http/parse-integer.ts";
import { Lines } from "../http/schemas.ts";
import { createStaticFile } from "../http/static-file.ts";
import type { Log } from "../log.ts";
import { insertEvent } from "../orders/order-event-queries.ts";
import type { Work, WorkOrder } from "../orders/work-order.ts";
import type { Clock } from "../ports.ts";
import { createRateLimit } from "../rate-limit.ts";
import { CANCEL_REASONS, type OrderEvent, STAGES } from "../store/schema.ts";
import type { Store } from "../store/store.ts";
import { message, notFound, respond, seeOther } from "./answers.ts";
import boardScriptPath from "./board-client.js" with { type: "file" };
import liveScriptPath from "./board-live.js" with { type: "file" };
import boardStylePath from "./board.css" with { type: "file" };
import { boardVersion, cardById } from "./board-queries.ts";
import { createChanges } from "./changes.ts";
import { html } from "./html.ts";
import { page, type Viewer } from "./page.ts";
import { createPages } from "./pages.ts";
import { ANYBODY, cookieOf, createSessions } from "./session.ts";
import { type Language, LANGUAGES, WORDS } from "./words.ts";

const MINUTE_MS = 60_000;
const WRONG_KEYS_PER_MINUTE = 10;

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0f766e"/><path d="M10 22V10l12 12V10" fill="none" stroke="#fff" stroke-width="3"/></svg>`;

/** A page that a person sees checks itself who may see it. */
const access = routeOptions({
  access: "dispatcher",
  parse: "none" as const,
  detail: { hide: true },
});

const NOTE = Lines(1, 300);

export interface BoardDependencies {
  readonly store: Store;
  readonly workOrder: WorkOrder;
  readonly log: Log;
  readonly now: Clock;
  readonly config: {
    readonly apiKeys: readonly string[];
    readonly dispatchers: readonly Dispatcher[];
    readonly publicUrl: string | null;
  };
}

/** `/board`, where dispatchers work paid orders; with `API_KEY` but no dispatchers there is none. */
export function createBoard(dependencies: BoardDependencies) {
  const { store, workOrder, log, now, config } = dependencies;
  const { dispatchers } = config;
  const isHttps = config.publicUrl?.startsWith("https:") ?? false;
  const sessions = createSessions(dispatchers, isHttps);
  const wrongKeys = createRateLimit<string>({
    limit: WRONG_KEYS_PER_MINUTE,
    windowMs: MINUTE_MS,
    now,
  });
  const changes = createChanges(async () => {
    const [version] = await store.read((tx) => boardVersion(tx));
    if (version === undefined) throw new Error("a count has no row");
    return version;
  }, log);

  function viewerOf(request: Request): Viewer | undefined {
    const name = sessions.nameOf(request.headers.get("cookie"), now());
    if (name === undefined) return undefined;
    const language = languageOf(request);
    return {
      ...{ name, language, words: WORDS[language], now: now() },
      canSignOut: dispatchers.length > 0,
    };
  }

  /** A page for who has a session; who has none is sent to the sign-in, and nothing is done. */
  async function forViewer(
    request: Request,
    show: (viewer: Viewer) => Promise<Response>,
  ): Promise<Response> {
    const viewer = viewerOf(request);
    if (viewer !== undefined) return show(viewer);
    const { pathname } = new URL(request.url);
    const to = request.method === "GET" ? pathname : "/board";
    return seeOther(`/board/sign-in?to=${encodeURIComponent(to)}`);
  }

  /** The same for a form, which only our own pages may send. */
  async function forForm(
    request: Request,
    act: (viewer: Viewer, form: URLSearchParams) => Promise<Response>,
  ): Promise<Response> {
    if (!isOwnPage(request)) return new Response("This form is not ours.", { status: 403 });
    return forViewer(request, async (viewer) =>
      act(viewer, new URLSearchParams(await request.text())),
    );
  }

  const { showBoard, showDays, showOrder, showFound } = createPages(store);

  async function work(viewer: Viewer, form: URLSearchParams, params: Params): Promise<Response> {
    const orderId = parseInteger(params.order_id);
    const seen = STAGES.find((stage) => stage === form.get("seen"));
    const wanted = readWork(params.verb, form);
    if (orderId === undefined) return notFound(viewer);
    if (seen === undefined || wanted === undefined) return refuse(viewer, orderId);
    const outcome = await workOrder({ orderId, actor: viewer.name, seen, work: wanted });
    switch (outcome.kind) {
      case "done":
        return seeOther(
          form.get("back") === "order" ? `/board/orders/${orderId}` : `/board?done=${orderId}`,
        );
      case "order_not_found":
        return notFound(viewer);
      case "no_such_step":
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

  function showSignIn(request: Request, to: string, fault?: "wrongKey" | "tooManyKeys"): Response {
    const language = languageOf(request);
    const words = WORDS[language];
    const status = fault === "tooManyKeys" ? 429 : fault === "wrongKey" ? 403 : 200;
    const options = { title: words.signIn, path: "/board/sign-in", viewer: undefined, language };
    const response = html`<form method="post" action="/board/sign-in" class="panel sign-in">
      <h1>NoMus</h1>
      <p role="alert">${fault && words[fault]}</p>
      <input type="hidden" name="to" value="${to}" />
      <label class="field"
        >${words.key}<input
          type="password"
          name="key"
          required
          autofocus
          autocomplete="current-password"
      /></label>
      <button class="primary">${words.signIn}</button>
      <p class="languages">
        ${LANGUAGES.map((one) => html`<a href="/board/language/${one}?to=/board/sign-in">${one.toUpperCase()}</a> `)}
      </p>
    </form>`;
    return respond(page({ ...options, content: response }), status);
  }

  async function signIn(request: Request): Promise<Response> {
    if (!isOwnPage(request)) return new Response("This form is not ours.", { status: 403 });
    const form = new URLSearchParams(await request.text());
    const to = ownPath(form.get("to"));
    if (!wrongKeys.take("all")) return showSignIn(request, to, "tooManyKeys");
    const dispatcher = sessions.ownerOf(form.get("key") ?? "");
    if (dispatcher === undefined) return showSignIn(request, to, "wrongKey");
    wrongKeys.giveBack("all");
    return seeOther(to, sessions.begin(dispatcher, now()));
  }

  const files = {
    "/board/board.js": createStaticFile("text/javascript", file(boardScriptPath, liveScriptPath)),
    "/board/idiomorph.js": createStaticFile("text/javascript", file(idiomorphPath)),
    "/board/board.css": createStaticFile("text/css", file(boardStylePath)),
    "/board/icon.svg": createStaticFile("image/svg+xml", async () =>
      new TextEncoder().encode(ICON),
    ),
  };

  const http = new Elysia({ normalize: false });
  for (const [path, send] of Object.entries(files)) {
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
      ({ request }) =>
        forViewer(request, (viewer) => showFound(viewer, queryOf(request).get("q") ?? "")),
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
        if (viewerOf(request) === undefined) return new Response(null, { status: 403 });
        // The stream is silent for longer than other answers take.
        server?.timeout(request, 0);
        // Nobody would read the stream, nor end it.
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
          ownPath(queryOf(request).get("to")),
          `lang=${language}; Path=/board; Max-Age=31536000; SameSite=Lax`,
        );
      },
      access,
    )
    .get(
      "/board/sign-in",
      ({ request }) => showSignIn(request, ownPath(queryOf(request).get("to"))),
      access,
    )
    .post("/board/sign-in", ({ request }) => signIn(request), access)
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
      ({ request, params }) => forForm(request, (viewer, form) => work(viewer, form, params)),
      access,
    );

  return {
    http: config.apiKeys.length > 0 && dispatchers.length === 0 ? new Elysia() : http,
    /** Ends the open streams. */
    close: changes.close,
  };

  function conflict(viewer: Viewer, orderId: number, last: OrderEvent | undefined): Response {
    const { words } = viewer;
    const what = last ? words.events[last.kind] : words.paid;
    const who = last?.actor ?? ANYBODY;
    return message(
      viewer,
      { status: 409, code: "stage_changed" },
      `№ ${orderId}: ${words.changedTitle}`,
      words.changed(what, who, clockTime(last?.at ?? viewer.now)),
      orderId,
    );
  }
}

type Params = { readonly order_id: string; readonly verb: string };

/** What the form asks for; undefined where it is nothing that our pages send. */
function readWork(verb: string, form: URLSearchParams): Work | undefined {
  switch (verb) {
    case "accept":
    case "start":
    case "complete":
    case "undo":
      return { verb };
    case "cancel": {
      const reason = CANCEL_REASONS.find((one) => one === form.get("reason"));
      const note = form.get("note")?.trim() || null;
      if (reason === undefined || (note !== null && !Value.Check(NOTE, note))) return undefined;
      return { verb, reason, note, isMoneyOwed: form.has("owed") };
    }
    case "refund": {
      const reference = form.get("reference")?.trim();
      return Value.Check(NOTE, reference) ? { verb, reference } : undefined;
    }
    default:
      return undefined;
  }
}

function refuse(viewer: Viewer, orderId: number): Response {
  const fault = { status: 422, code: "no_such_step" };
  return message(viewer, fault, `№ ${orderId}`, viewer.words.noSuchStep, orderId);
}

/** Whether one of our own pages has sent the form: a browser says so, and no page can change what it says. */
function isOwnPage({ headers, url }: Request): boolean {
  const site = headers.get("sec-fetch-site");
  if (site !== null) return site === "same-origin";
  const origin = headers.get("origin");
  return origin !== null && URL.parse(origin)?.host === (headers.get("host") ?? new URL(url).host);
}

/** A path of the board, and of nobody else. */
function ownPath(to: string | null): string {
  return to !== null && /^\/board(\/[\w/-]*)?$/.test(to) ? to : "/board";
}

function queryOf(request: Request): URLSearchParams {
  return new URL(request.url).searchParams;
}

function languageOf({ headers }: Request): Language {
  const chosen = cookieOf(headers.get("cookie"), "lang");
  return LANGUAGES.find((one) => one === chosen) ?? LANGUAGES[0];
}

/** Reads the files as one. */
function file(...paths: readonly string[]) {
  return async () => Buffer.concat(await Promise.all(paths.map((path) => Bun.file(path).bytes())));
}
