import { type Browser, chromium } from "playwright-core";
import { skip } from "./skip.ts";

/** Ordered by preference: chromium-headless-shell uses half the CPU time of the full browser. */
const PROGRAMS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

let launching: Promise<Browser> | undefined;

/**
 * Returns this process's shared browser. If none is installed, logs a skip and returns undefined.
 * Tests close the contexts and pages they open; `closeBrowser` closes the browser.
 */
export async function openBrowser(wantedFor: string): Promise<Browser | undefined> {
  const executablePath = PROGRAMS.map((name) => Bun.which(name)).find((path) => path !== null);
  if (executablePath === undefined) {
    skip(`${wantedFor} in a browser, which is not installed (Debian's ${PROGRAMS[0]})`);
    return undefined;
  }
  launching ??= chromium.launch({
    executablePath,
    // Chromium has no sandbox as root. The other flags prevent requests to Google.
    args: [
      "--no-sandbox",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // A non-loopback name, so its pages are not a secure context.
      "--host-resolver-rules=MAP board.test 127.0.0.1",
    ],
  });
  return launching;
}

/** Closes the browser, if open. Call it in `afterAll` of each file that uses `openBrowser`. */
export async function closeBrowser(): Promise<void> {
  const browser = await launching;
  launching = undefined;
  await browser?.close();
}
