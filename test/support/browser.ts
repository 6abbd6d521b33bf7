import { type Browser, chromium } from "playwright-core";
import { skip } from "./skip.ts";

/** A Chromium that runs no errands of its own; undefined, and said, where there is none on the machine. */
export async function launchBrowser(
  wantedFor: string,
  moreArgs: readonly string[] = [],
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
      ...moreArgs,
    ],
  });
}
