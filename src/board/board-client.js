// Refreshes pages, sends forms, rings, handles keys. Pages work without it.
"use strict";

const TIMEOUT_MS = 10_000;
const REFRESH_MS = 60_000;
const TICK_MS = 1_000;
const RING_EVERY_MS = 5_000;

const { body } = document;
const main = document.querySelector("main");
const sound = document.getElementById("sound");
const isLive = "live" in body.dataset;
const channel = new BroadcastChannel("nmservis-board");
const on = (target, ...listener) => target.addEventListener(...listener);

// Pages

/** Fetches a dispatcher's page or the sign-in; throws on any other answer. */
async function load(url, options) {
  const response = await fetch(url, {
    headers: { accept: "text/html" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...options,
  });
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const isOurs = fresh.querySelector("main")?.dataset.viewer || isSignIn(response);
  if (response.status >= 500 || !isOurs) throw new Error(`${response.status}: ${url}`);
  return { response, fresh };
}

function isSignIn(response) {
  return new URL(response.url).pathname === "/board/sign-in";
}

function show(fresh) {
  const content = fresh.querySelector("main");
  // Another tab changed the dispatcher or the language.
  if (content.dataset.viewer !== main.dataset.viewer) return location.reload();
  const chosen = document.querySelector(".chosen-card")?.id;
  Idiomorph.morph(main, content, { callbacks: { beforeNodeRemoved: mayGo } });
  document.title = fresh.title;
  if (fresh.body.dataset.new !== undefined) body.dataset.new = fresh.body.dataset.new;
  choose(document.getElementById(chosen));
  ring();
}

/** A form keeps its failure while it stays the same. */
function mayGo({ className, dataset, parentElement }) {
  return className !== "failure" || parentElement.action !== dataset.action;
}

let isStale = false;
let isLoading = false;
let loadedAt = Date.now();

/** Whether a refresh would lose input or a message. */
function isBusy() {
  if (sending.size > 0 || main.querySelector("details[open], .message")) return true;
  if (document.activeElement?.matches("main input:not([type=hidden]), main select")) return true;
  const inputs = [...main.querySelectorAll("form[method=post] input:not([type=hidden])")];
  return inputs.some((input) => !input.closest("details") && input.value !== input.defaultValue);
}

/** Fetches this page again, once that loses nothing. */
async function refresh() {
  isStale = true;
  if (isLoading || isBusy()) return;
  isStale = false;
  isLoading = true;
  loadedAt = Date.now();
  try {
    const { response, fresh } = await load(location.href);
    if (isSignIn(response)) location.assign(response.url);
    else if (isBusy()) isStale = true;
    else if (response.ok && !response.redirected) show(fresh);
  } catch {
    shownVersion = undefined;
  } finally {
    isLoading = false;
  }
  refreshIfStale();
}

function refreshIfStale() {
  if (isStale) refresh();
}

/** Counts time asleep; true also after the clock was set back. */
function isOver(since, ms) {
  return Math.abs(Date.now() - since) > ms;
}

on(document, "focusout", () => setTimeout(refreshIfStale));
on(document, "toggle", () => setTimeout(refreshIfStale), true);
setInterval(() => isOver(loadedAt, REFRESH_MS) && refresh(), TICK_MS);
on(channel, "message", ({ data }) => {
  if (data.kind === "signed-out") location.reload();
});

// Forms

/** Forms that wait for an answer. */
const sending = new Set();

on(document, "submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const isPost = form.method === "post";
  const url = new URL(form.action);
  if (sending.has(url.pathname)) return;
  const fields = new URLSearchParams(new FormData(form));
  if (!isPost) url.search = fields;
  const button = form.querySelector("button");
  form.querySelector(".failure")?.remove();
  sending.add(url.pathname);
  button.disabled = true;
  const answer = await load(url, isPost && { method: "POST", body: fields }).catch(() => {});
  sending.delete(url.pathname);
  button.disabled = false;
  if (answer !== undefined) {
    settle(answer, isPost);
  } else {
    const failure = document.createElement("p");
    const textContent = body.dataset[isPost ? "notSaved" : "noAnswer"];
    Object.assign(failure, { className: "failure", role: "alert", textContent });
    failure.dataset.action = form.action;
    form.append(failure);
    button.focus();
  }
  refreshIfStale();
});

function settle({ response, fresh }, isPost) {
  if (isPost && isSignIn(response)) channel.postMessage({ kind: "signed-out" });
  if (!isPost || (response.ok && new URL(response.url).pathname !== location.pathname)) {
    return location.assign(response.url);
  }
  // Back leads from a message to this page.
  if (response.ok) history.replaceState(null, "", response.url);
  else history.pushState(null, "");
  show(fresh);
  main.querySelector(".notice, .message")?.scrollIntoView({ block: "nearest" });
}

on(window, "popstate", () => {
  if (main.querySelector(".message")) location.reload();
});

on(document, "click", (event) => {
  // The second click of a double click would meet the button of the next step.
  if (event.detail > 1 && event.target.closest("form[method=post] button")) event.preventDefault();
});

// Sound, until no order is new. Browsers allow it after a touch.

let audio;
let ringing;

function ring() {
  if (!isLive) return;
  const isOn = localStorage.sound !== "off";
  const isWanted = isOn && body.dataset.new > 0;
  if (isWanted && ringing === undefined) {
    ringing = setInterval(tone, RING_EVERY_MS);
    tone();
  } else if (!isWanted) {
    ringing = clearInterval(ringing);
  }
  sound.setAttribute("aria-pressed", isOn && audio?.state === "running");
}

function tone() {
  if (audio?.state !== "running") return;
  for (const [at, frequency] of [
    [0, 880],
    [0.25, 660],
  ]) {
    const start = audio.currentTime + at;
    const oscillator = new OscillatorNode(audio, { frequency });
    const volume = new GainNode(audio);
    volume.gain.setValueAtTime(0.2, start);
    volume.gain.exponentialRampToValueAtTime(0.001, start + 0.2);
    oscillator.connect(volume).connect(audio.destination);
    oscillator.start(start);
    oscillator.stop(start + 0.2);
  }
}

async function allowSound() {
  audio ??= new AudioContext();
  await audio.resume();
  ring();
}

on(document, "pointerdown", allowSound, { once: true });
on(document, "keydown", allowSound, { once: true });
sound.hidden = !isLive;
on(sound, "click", () => {
  const isOn = sound.getAttribute("aria-pressed") === "true";
  localStorage.setItem("sound", isOn ? "off" : "on");
  allowSound();
});
ring();

// Keys by place, the same on a Russian keyboard.

function choose(card) {
  document.querySelector(".chosen-card")?.classList.remove("chosen-card");
  card?.classList.add("chosen-card");
  card?.scrollIntoView({ block: "nearest" });
}

on(document, "keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches("input, select, textarea")) return;
  const cards = [...document.querySelectorAll("main [data-order]")];
  const at = cards.findIndex((card) => card.classList.contains("chosen-card"));
  switch (event.code) {
    case "KeyJ":
      return choose(cards[Math.min(at + 1, cards.length - 1)]);
    case "KeyK":
      return choose(cards[Math.max(at - 1, 0)]);
    case "Enter":
      if (event.target === body) cards[at]?.querySelector("a").click();
      return;
    case "KeyA":
      if (!event.repeat) cards[at]?.querySelector("form.step.primary")?.requestSubmit();
      return;
    case "Slash":
      event.preventDefault();
      return document.querySelector(".search input").focus();
  }
});
