// The last part of board.js: the pill and the sound for new orders, and the keyboard.

// New orders outside the view

const RING_MS = 5_000;

const pill = find("#pill");
const unseen = new Set();
/** New orders that arrived beyond the limit of the page. */
let unlisted = 0;
let listed;
let hiddenCount;

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting) unseen.delete(target);
  }
  showPill();
});

function countNew() {
  const list = find("#list-new");
  if (!list) return;
  const { hidden } = list.dataset;
  const all = [...list.children];
  for (const card of listed ? all : []) {
    if (listed.has(card.id)) continue;
    unseen.add(card);
    watcher.observe(card);
  }
  unlisted = hidden > 0 ? unlisted + Math.max(0, hidden - (hiddenCount ?? hidden)) : 0;
  listed = new Set(all.map(({ id }) => id));
  hiddenCount = hidden;
  showPill();
}

if (isLive) on(pill, "click", showNew);

function showPill() {
  for (const card of unseen) if (!card.closest("#list-new")) unseen.delete(card);
  const count = unseen.size + unlisted;
  pill.hidden = count === 0;
  pill.textContent = pill.dataset.text.replace("#", count);
}

function showNew() {
  openTab("new");
  unlisted = 0;
  const [first] = unseen;
  (first ?? find(".column.new .more"))?.scrollIntoView({ block: "center" });
  if (first) choose(first);
  showPill();
}

// Rings in the leading tab until there are no new orders. Browsers allow sound only after a tap or
// key press.

const sound = find("#sound");
const soundBar = find("#sound-bar");
let audio;
let ringing;
let isSettled = false;

function ring() {
  if (!isLive) return;
  const isOn = localStorage.sound !== "off";
  const isWanted = isOn && isLeading && body.dataset.new > 0;
  if (isWanted && ringing === undefined) {
    ringing = setInterval(tone, RING_MS);
    tone();
  } else if (!isWanted) {
    ringing = clearInterval(ringing);
  }
  sound.ariaPressed = isOn;
  soundBar.hidden = !isOn || !isLeading || !isSettled || isAllowed();
}

function isAllowed() {
  return audio?.state === "running";
}

function tone() {
  if (!isAllowed()) return;
  const { currentTime, destination } = audio;
  const oscillator = new OscillatorNode(audio, { frequency: 880 });
  oscillator.frequency.setValueAtTime(660, currentTime + 0.2);
  oscillator.connect(new GainNode(audio, { gain: 0.2 })).connect(destination);
  oscillator.start();
  oscillator.stop(currentTime + 0.4);
}

function allowSound() {
  if (!isLive || isAllowed()) return;
  if (!audio) {
    audio = new AudioContext();
    on(audio, "statechange", () => {
      if (isAllowed() && ringing) tone();
      ring();
    });
  }
  // Stays pending until the browser allows it.
  audio.resume().catch(() => {});
}

/** Ignores the bell button: a tap on it would turn the sound on, then off. */
function allowUnlessBell({ target }) {
  if (!target.closest?.("#sound")) allowSound();
}

on(document, "click", allowUnlessBell, true);
// A sheet on a phone hides what is behind it: the focus must not go there (WCAG 2.2, 2.4.11).
on(document, "focusin", ({ target }) => {
  const sheet = find("details.cancel[open]");
  if (sheet?.contains(target) === false && getComputedStyle(sheet).position === "fixed") {
    sheet.open = false;
  }
});

on(document, "keydown", allowUnlessBell, true);
sound.hidden = !isLive;
on(sound, "click", () => {
  const isTurnedOff = localStorage.sound !== "off" && isAllowed();
  localStorage.sound = isTurnedOff ? "off" : "on";
  allowSound();
  ring();
});
if (isLive) {
  countNew();
  allowSound();
  ring();
  // The first state change comes a moment after the start.
  setTimeout(() => {
    isSettled = true;
    ring();
  }, TICK_MS);
}

// Keys by place, the same on a Russian keyboard.

function cards() {
  return findAll("[data-order]", main).filter((card) => card.checkVisibility());
}

function chosenCard() {
  return find(".chosen-card");
}

function mark(card) {
  chosenCard()?.classList.remove("chosen-card");
  card?.classList.add("chosen-card");
}

function choose(card) {
  mark(card);
  card?.scrollIntoView({ block: "nearest" });
  if (card) find("a", card).focus({ preventScroll: true });
}

/** Closes the menu and the forms. The focus returns to what opened them. */
function closeForms() {
  for (const details of findAll("details[open]")) {
    const hadFocus = details.contains(document.activeElement);
    details.open = false;
    if (hadFocus) find("summary", details).focus();
  }
}

on(document, "keydown", (event) => {
  const { code, target, repeat } = event;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (code === "Escape") return closeForms();
  if (target.matches("input, select, textarea")) return;
  const all = cards();
  const at = all.indexOf(chosenCard());
  switch (code) {
    case "KeyJ":
      return choose(all[Math.min(at + 1, all.length - 1)]);
    case "KeyK":
      return choose(all[Math.max(at - 1, 0)]);
    case "Enter":
      if (target === body && all[at]) find("a", all[at]).click();
      return;
    case "KeyA":
      if (!repeat) find(".order form.primary, .chosen-card form.primary")?.requestSubmit();
      return;
    case "Slash":
      event.preventDefault();
      return find(".search input").focus();
  }
});
