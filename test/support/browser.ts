import { type Browser, chromium } from "playwright-core";
import { skip } from "./skip.ts";

/** Debian's package of the same name takes half the CPU time of the complete browser; it comes first. */
const PROGRAMS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

let launching: Promise<Browser> | undefined;

/**
 * Returns the one browser of this process, kept from calling its maker; undefined, with a message,
 * if none is installed. Each test opens its contexts or pages and closes them; `closeBrowser` ends
 * the browser.
 */
export async function openBrowser(wantedFor: string): Promise<Browser | undefined> {
  const executablePath = PROGRAMS.map((name) => Bun.which(name)).find((path) => path !== null);
  if (executablePath === undefined) {
    skip(`${wantedFor} in a browser, which is not installed (Debian's ${PROGRAMS[0]})`);
    return undefined;
  }
  launching ??= chromium.launch({
    executablePath,
    // Root may not have a sandbox; the rest keeps the browser off the network.
    args: [
      "--no-sandbox",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // A name that is not loopback, for pages without a secure context.
      "--host-resolver-rules=MAP board.test 127.0.0.1",
    ],
  });
  return launching;
}

/** Closes the browser, if there is one. For an `afterAll` of each file that opens it. */
export async function closeBrowser(): Promise<void> {
  const browser = await launching;
  launching = undefined;
  await browser?.close();
}
