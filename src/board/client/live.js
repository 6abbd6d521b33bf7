// The second part of board.js: the event stream, which one tab shares with the others.

/** Longer than two heartbeats. */
const SILENCE_MS = 40_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 10_000;
const JOIN_MS = 200;

const status = document.getElementById("status");
/** The version of the shown page; undefined after a failed refresh. */
let shownVersion;
/** Whether this tab holds the stream. */
let isLeading = false;

/**
 * Keeps one stream per browser: over HTTP/1.1 it has six connections. One tab, the leader, forwards
 * the events to the others. A visible tab replaces a hidden leader, whose timers are throttled.
 */
function followChanges() {
  // Plain HTTP has neither crypto.randomUUID nor Web Locks.
  const id = Math.random();
  let leader;
  /** Grows with each new leader; of two leaders the one with the higher claim wins. */
  let claim = 0;
  /** When the leader last received an event from the server, or a follower from the leader. */
  let newsAt = Date.now();
  let last = { state: "connecting" };
  let source;
  let retry;
  let failures = 0;
  let unlock;

  function lead() {
    claim++;
    if (!isLeading) {
      leader = id;
      isLeading = true;
      // A held lock keeps the tab from being frozen. It is released if the tab crashes.
      lock(id, "exclusive", () => isLeading && new Promise((resolve) => (unlock = resolve)));
    }
    ring();
    open();
  }

  function resign() {
    leader = undefined;
    isLeading = false;
    ring();
    close();
    unlock?.();
  }

  function follow(other) {
    if (leader === other) return;
    if (isLeading) resign();
    leader = other;
    lock(other, "shared", () => leader === other && join());
  }

  function lock(owner, mode, work) {
    navigator.locks?.request(`nmservis-board ${owner}`, { mode }, work).catch(() => {});
  }

  /** Leads if no leader answers. */
  function join() {
    leader = undefined;
    newsAt = Date.now();
    channel.postMessage({ kind: "hello" });
    setTimeout(() => leader === undefined && lead(), JOIN_MS * (1 + Math.random()));
  }

  function leave() {
    if (!isLeading) return;
    resign();
    channel.postMessage({ kind: "gone", from: id });
  }

  function open() {
    close();
    newsAt = Date.now();
    send(last.state === "connected" ? { state: "connecting" } : {});
    source = new EventSource("/board/changes");
    on(source, "heartbeat", receive);
    on(source, "change", receive);
    on(source, "error", () => {
      send({ state: last.state === "connected" ? "connecting" : "offline" });
      // The browser does not retry after a 502.
      if (source.readyState !== EventSource.CLOSED) return;
      const delayMs = Math.min(FIRST_RETRY_MS * 2 ** failures++, LAST_RETRY_MS);
      retry = setTimeout(open, delayMs * (1 - Math.random() / 4));
    });
  }

  function close() {
    source?.close();
    clearTimeout(retry);
  }

  function receive({ lastEventId, data }) {
    newsAt = Date.now();
    failures = 0;
    send({ state: "connected", version: lastEventId, newOrders: data });
  }

  function send(news) {
    apply({ ...last, ...news });
    post();
  }

  function post() {
    channel.postMessage({ kind: "news", from: id, claim, isHidden: document.hidden, news: last });
  }

  function apply(news) {
    last = news;
    status.textContent = status.dataset[news.state];
    status.className = `status ${news.state}`;
    if (news.state !== "connected" || news.version === shownVersion) return;
    shownVersion = news.version;
    body.dataset.new = news.newOrders;
    ring();
    refresh();
  }

  on(channel, "message", ({ data: { kind, from, claim: theirs, isHidden, news } }) => {
    if (kind === "hello" && isLeading) post();
    if (kind === "gone" && from === leader) join();
    if (kind !== "news") return;
    const isOutdated = theirs < claim || (theirs === claim && from < id);
    if (isLeading && isOutdated) return post();
    claim = Math.max(claim, theirs);
    newsAt = Date.now();
    follow(from);
    apply(news);
    if (isHidden && !document.hidden) lead();
  });

  setInterval(() => {
    const isOpening = isLeading && last.state !== "connected";
    if (!isOver(newsAt, isOpening ? TIMEOUT_MS : SILENCE_MS)) return;
    if (isOpening) send({ state: "offline" });
    lead();
  }, TICK_MS);
  on(document, "visibilitychange", () => {
    if (!document.hidden) lead();
    else if (isLeading) post();
  });
  on(window, "online", () => isLeading && lead());
  on(window, "offline", () => isLeading && lead());
  on(window, "pagehide", leave);
  on(window, "pageshow", join);
  on(document, "freeze", leave);
  on(document, "resume", join);
  apply(last);
}

if (isLive) followChanges();
