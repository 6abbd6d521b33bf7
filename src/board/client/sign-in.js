// The sign-in page: shows the key, and ignores repeated taps.
"use strict";

const input = document.getElementById("key");
const button = document.getElementById("show-key");

if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const isShown = input.type === "password";
    input.type = isShown ? "text" : "password";
    button.ariaPressed = isShown;
  });
}

const REPEAT_MS = 10_000;
let sentAt = -REPEAT_MS;

// A second submit would cancel the first one, whose response starts the session.
document.addEventListener("submit", (event) => {
  if (event.timeStamp - sentAt < REPEAT_MS) event.preventDefault();
  else sentAt = event.timeStamp;
});
