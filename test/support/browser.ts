import { type Browser, chromium } from "playwright-core";
import { skip } from "./skip.ts";

/**
 * Starts a Chromium without background traffic, with more arguments if given. Undefined, after a notice, if
 * the machine has no Chromium.
 */
export async function launchBrowser(
  wantedFor: string,
  args: readonly string[] = [],
): Promise<Browser | undefined> {
  const executablePath =
    Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome");
  if (executablePath === null) {
    skip(`${wantedFor} in a browser, for which there is none (Debian's chromium)`);
    return undefined;
  }
  return chromium.launch({
    executablePath,
    // Root may not have a sandbox; the rest keeps the browser off the network.
    args: [
      "--no-sandbox",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...args,
    ],
  });
}
