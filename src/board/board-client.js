// Keeps a page of the board fresh, rings for new orders, and takes keys. Everything works without it.
"use strict";

const REFRESH_MS = 60_000;
const RING_EVERY_MS = 5_000;

const status = document.getElementById("status");
const sound = document.getElementById("sound");

/** Never under an open form: what somebody is typing would be gone. */
function isBusy() {
  if (document.querySelector("main details[open]")) return true;
  const active = document.activeElement;
  return active !== null && active.matches("main input:not([type=hidden]), main select");
}

let isStale = false;

async function refresh() {
  if (isBusy()) {
    isStale = true;
    return;
  }
  isStale = false;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!response.ok) return;
    if (response.redirected && new URL(response.url).pathname === "/board/sign-in") {
      location.reload();
      return;
    }
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    if (isBusy()) return;
    const chosen = document.querySelector(".chosen-card")?.id;
    Idiomorph.morph(document.querySelector("main"), fresh.querySelector("main"));
    document.title = fresh.title;
    document.body.dataset.new = fresh.body.dataset.new;
    if (chosen) choose(document.getElementById(chosen));
    ring();
  } catch {
    // The stream says whether the service is there.
  }
}

document.addEventListener("focusout", () => setTimeout(() => isStale && refresh()));
document.addEventListener("toggle", () => setTimeout(() => isStale && refresh()), true);
setInterval(refresh, REFRESH_MS);

function say(isOnline) {
  status.textContent = isOnline ? status.dataset.online : status.dataset.offline;
  status.classList.toggle("offline", !isOnline);
}

const changes = new EventSource("/board/changes");
changes.addEventListener("open", () => {
  say(true);
  // What has come between the page and its stream is told by nobody.
  refresh();
});
changes.addEventListener("error", () => say(false));
changes.addEventListener("change", (event) => {
  document.body.dataset.new = event.data;
  refresh();
  ring();
});

// The ring: two tones, until no order is new. A browser lets it sound once the page was touched.

let audio;
let ringing;

function ring() {
  const isWanted = Number(document.body.dataset.new) > 0 && localStorage.getItem("sound") !== "off";
  if (isWanted && ringing === undefined) {
    ringing = setInterval(tone, RING_EVERY_MS);
    tone();
  } else if (!isWanted && ringing !== undefined) {
    clearInterval(ringing);
    ringing = undefined;
  }
  const isAllowed = audio !== undefined && audio.state === "running";
  sound.setAttribute("aria-pressed", String(localStorage.getItem("sound") !== "off" && isAllowed));
}

function tone() {
  if (audio === undefined || audio.state !== "running") return;
  for (const [at, frequency] of [
    [0, 880],
    [0.25, 660],
  ]) {
    const oscillator = audio.createOscillator();
    const gain = audio.createGain();
    oscillator.frequency.value = frequency;
    gain.gain.setValueAtTime(0.2, audio.currentTime + at);
    gain.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + at + 0.2);
    oscillator.connect(gain).connect(audio.destination);
    oscillator.start(audio.currentTime + at);
    oscillator.stop(audio.currentTime + at + 0.2);
  }
}

async function allowSound() {
  audio ??= new AudioContext();
  await audio.resume();
  ring();
}

document.addEventListener("pointerdown", allowSound, { once: true });
document.addEventListener("keydown", allowSound, { once: true });
sound.hidden = false;
sound.addEventListener("click", () => {
  const isOn = sound.getAttribute("aria-pressed") === "true";
  localStorage.setItem("sound", isOn ? "off" : "on");
  allowSound();
});
ring();

// Keys, by where they are on the keyboard: a Russian layout has them in the same place.

function choose(card) {
  document.querySelector(".chosen-card")?.classList.remove("chosen-card");
  if (!card) return;
  card.classList.add("chosen-card");
  card.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
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
      if (at !== -1 && event.target === document.body) {
        location.href = `/board/orders/${cards[at].dataset.order}`;
      }
      return;
    case "KeyA":
      return cards[at]?.querySelector("form.step.primary")?.requestSubmit();
    case "Slash":
      event.preventDefault();
      return document.querySelector(".search input").focus();
  }
});
