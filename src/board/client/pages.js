// Refreshes pages, sends forms, rings, handles keys. Pages also work without it.
"use strict";

const TIMEOUT_MS = 10_000;
const REFRESH_MS = 60_000;
const TICK_MS = 1_000;

const { body } = document;
const find = (selector, root = document) => root.querySelector(selector);
const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];
const on = (target, ...listener) => target.addEventListener(...listener);
const main = find("main");
const isLive = "live" in body.dataset;
const channel = new BroadcastChannel("nmservis-board");

// Pages

/** Fetches a page of the board or the sign-in; throws on any other response. */
async function load(url, options) {
  const response = await fetch(url, {
    headers: { accept: "text/html" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...options,
  });
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const isOurs = find("main", fresh)?.dataset.viewer || isSignIn(response);
  if (response.status >= 500 || !isOurs) throw response;
  return { response, fresh };
}

function isSignIn(response) {
  return new URL(response.url).pathname === "/board/sign-in";
}

/** Returns the dispatcher's name, without the language. */
function nameIn({ dataset }) {
  return dataset.viewer.slice(0, -3);
}

/** Counts the pages shown: an older response must not replace a newer one. */
let shownPages = 0;

function show(fresh) {
  const content = find("main", fresh);
  // Another tab changed the dispatcher or the language.
  if (content.dataset.viewer !== main.dataset.viewer) {
    keep();
    return location.reload();
  }
  shownPages++;
  const focus = document.activeElement;
  const hadFocus = main.contains(focus);
  const chosen = chosenCard();
  const at = cards().indexOf(chosen);
  const held = hold(fresh);
  Idiomorph.morph(main, content, {
    callbacks: {
      // Most cards are unchanged, and comparing them takes a tenth of the time.
      beforeNodeMorphed: (node, next) => !held.has(node) && !node.isEqualNode(next),
      beforeNodeRemoved: mayGo,
    },
  });
  document.title = fresh.title;
  if (fresh.body.dataset.new !== undefined) body.dataset.new = fresh.body.dataset.new;
  const all = cards();
  if (chosen) mark(all.includes(chosen) ? chosen : (all[at] ?? all.at(-1)));
  if (hadFocus && document.activeElement === body) {
    const target = main.contains(focus) ? focus : find("a", chosenCard() ?? main);
    target?.focus({ preventScroll: true });
  }
  countNew();
  ring();
}

/** A failure message stays until the form's action changes. */
function mayGo({ className, dataset, parentElement }) {
  return className !== "failure" || parentElement.action !== dataset.action;
}

let isHolding = false;

/** Copies the cards and forms in use into the fresh page, at their current position. */
function hold(fresh) {
  const inUse = findAll("details[open], form:not(details form), [open] form", main).filter(isInUse);
  const held = new Set(
    inUse.map((form) => form.closest(".card") ?? form.closest("details") ?? form),
  );
  isHolding = held.size > 0;
  for (const one of held) {
    const parent = fresh.getElementById(one.parentElement.id);
    if (!parent) continue;
    // The forms of steps have no id.
    const same = `[action="${one.getAttribute("action")}"]`;
    (fresh.getElementById(one.id) ?? find(same, parent))?.remove();
    let before = one;
    do before = before.previousElementSibling;
    while (before && fresh.getElementById(before.id)?.parentElement !== parent);
    const copy = one.cloneNode(true);
    if (before) fresh.getElementById(before.id).after(copy);
    else parent.prepend(copy);
  }
  return held;
}

/** Whether replacing the form would lose input. */
function isInUse(form) {
  const { activeElement } = document;
  if (form.open || form.ariaBusy) return true;
  if (form.contains(activeElement) && activeElement.matches("input, select")) return true;
  // Fields without a default value, such as buttons, hold no input.
  return [...form.elements].some(({ value, defaultValue = value }) => value !== defaultValue);
}

let isStale = false;
let isLoading = false;
let loadedAt = Date.now();

/** Fetches this page again. Calls during a fetch cause one more fetch. */
async function refresh() {
  isStale = true;
  if (isLoading || find(".message", main)) return;
  isStale = false;
  isLoading = true;
  loadedAt = Date.now();
  const shown = shownPages;
  try {
    const { response, fresh } = await load(location.href);
    if (isSignIn(response)) {
      keep();
      location.assign(response.url);
    } else if (shown !== shownPages) isStale = true;
    else if (response.ok && !response.redirected) show(fresh);
  } catch {
    shownVersion = undefined;
  } finally {
    isLoading = false;
  }
  if (isStale) refresh();
}

/** Counts time during which the computer slept. Also true if the clock was set back. */
function isOver(since, ms) {
  return Math.abs(Date.now() - since) > ms;
}

setInterval(() => isOver(loadedAt, REFRESH_MS) && refresh(), TICK_MS);
on(
  document,
  "toggle",
  ({ target }) => {
    if (target.open) fill(target);
    else if (isHolding) refresh();
  },
  true,
);

/** Makes the cancel form of a card from the template. */
function fill(details) {
  const card = details.closest(".card");
  const link = card && find("a", details);
  if (!link) return;
  const values = { id: card.dataset.order, amount: find(".money", card).textContent };
  for (const name of ["seen", "seen_at"]) values[name] = find(`[name=${name}]`, card).value;
  const markup = find("#cancel-form").innerHTML;
  link.outerHTML = markup.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
on(channel, "message", ({ data: { kind, name } }) => {
  if (kind !== "signed-out" && (kind !== "signed-in" || name === nameIn(main))) return;
  keep();
  location.reload();
});

// Forms

let sentAt = -TICK_MS;

on(document, "submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  if (form.ariaBusy) return;
  const isPost = form.method === "post";
  const url = new URL(form.action);
  const fields = new URLSearchParams(new FormData(form));
  if (!isPost) url.search = fields;
  // The dispatcher may have switched tabs since the page was rendered.
  if (fields.has("back")) fields.set("back", location.pathname + location.search);
  find(".failure", form)?.remove();
  sentAt = event.timeStamp;
  form.ariaBusy = true;
  const answer = await load(url, isPost && { method: "POST", body: fields }).catch(() => {});
  form.ariaBusy = null;
  if (answer !== undefined) return settle(answer, isPost, form);
  sentAt = -TICK_MS;
  const failure = document.createElement("p");
  const textContent = body.dataset[isPost ? "notSaved" : "noAnswer"];
  Object.assign(failure, { className: "failure", role: "alert", textContent });
  failure.dataset.action = form.action;
  form.append(failure);
  // The change may have been saved although its response was lost.
  if (isLive) refresh();
});

function settle({ response, fresh }, isPost, form) {
  if (isPost && isSignIn(response)) {
    keep(form.matches(".cancel form, .refund form") ? form : undefined);
    channel.postMessage({ kind: "signed-out" });
  }
  // A full page shows the refusal: the header belongs to another dispatcher.
  if (!response.ok && nameIn(find("main", fresh)) !== nameIn(main)) return form.submit();
  if (!isPost || (response.ok && new URL(response.url).pathname !== location.pathname)) {
    return location.assign(response.url);
  }
  // It may have changed since the form was sent.
  const stage = openStage();
  // So that "Back" returns from an error message to this page.
  if (response.ok) history.replaceState(null, "", response.url);
  else history.pushState(null, "");
  form.reset();
  form.closest("details")?.removeAttribute("open");
  show(fresh);
  if (!response.ok) scrollTo(0, 0);
  else if (stage !== openStage()) showTab(stage);
}

/** Keeps the input of a form until the dispatcher has signed in again, or the page is reloaded. */
function keep(form = find(".cancel[open] form", main) ?? find(".refund form", main)) {
  if (!form) return;
  const fields = [...new FormData(form)];
  sessionStorage.kept = JSON.stringify([nameIn(main), form.action, fields]);
}

/** Offers kept input again, once, on the first page of the same dispatcher that has the form. */
function offerKept() {
  const { kept } = sessionStorage;
  // Before parsing: malformed content must not fail again.
  delete sessionStorage.kept;
  if (!kept) return;
  const [viewer, action, fields] = JSON.parse(kept);
  if (viewer !== nameIn(main)) return;
  const details = find(`#cancel-${/\d+(?=\/cancel)/.exec(action)}`);
  if (details) {
    details.open = true;
    fill(details);
  }
  const form = findAll("form", main).find((one) => one.action === action);
  if (!form) return (sessionStorage.kept = kept);
  if (form.elements.owed) form.elements.owed.checked = false;
  for (const [name, value] of fields) {
    const field = form.elements[name];
    if (field?.type === "checkbox") field.checked = true;
    else if (field) field.value = value;
  }
}

if (main.dataset.viewer) {
  try {
    offerKept();
  } catch {
    // Only the kept input is lost.
  }
  channel.postMessage({ kind: "signed-in", name: nameIn(main) });
}

on(window, "popstate", () => find(".message", main) && location.reload());

on(document, "click", async (event) => {
  const { target } = event;
  const link = target.closest("[data-in-place], .tab:not(.owed)");
  // The second click of a double click would hit the button of the next step.
  if (event.detail > 1 && event.timeStamp - sentAt < TICK_MS) event.preventDefault();
  // Clicks on the backdrop close the sheet; clicks outside the menu close the menu.
  if (target.matches("details.cancel")) target.open = false;
  if (!target.closest(".menu")) find(".menu")?.removeAttribute("open");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.dataset.stage) return openTab(link.dataset.stage);
  const answer = await load(link.href).catch(() => {});
  if (!answer?.response.ok) return location.assign(link.href);
  history.replaceState(null, "", link.href);
  show(answer.fresh);
});

function openTab(stage) {
  showTab(stage);
  // A page that is being fetched has the former tab open.
  shownPages++;
  scrollTo(0, 0);
}

function showTab(stage) {
  const url = new URL(location);
  url.searchParams.set("stage", stage);
  history.replaceState(null, "", url);
  for (const one of findAll("[data-stage]", main)) {
    one.ariaCurrent = one.dataset.stage === stage ? "true" : null;
  }
}

function openStage() {
  return find(".tab[aria-current]", main)?.dataset.stage;
}
