// Shows the key on the sign-in page.
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
