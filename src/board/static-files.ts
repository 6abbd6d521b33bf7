import idiomorphPath from "idiomorph/dist/idiomorph.min.js" with { type: "file" };
import { createStaticFile } from "../http/static-file.ts";
import stylePath from "./assets/board.css" with { type: "file" };
import icon192Path from "./assets/icon-192.png" with { type: "file" };
import icon512Path from "./assets/icon-512.png" with { type: "file" };
import maskableIconPath from "./assets/icon-maskable.png" with { type: "file" };
import alertsPath from "./client/alerts.js" with { type: "file" };
import livePath from "./client/live.js" with { type: "file" };
import pagesPath from "./client/pages.js" with { type: "file" };
import signInPath from "./client/sign-in.js" with { type: "file" };

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0f766e"/><path d="M10 22V10l12 12V10" fill="none" stroke="#fff" stroke-width="3"/></svg>`;

/** Makes the board installable on a phone's home screen (W3C Web Application Manifest). */
const MANIFEST = {
  id: "/board",
  name: "NoMus",
  short_name: "NoMus",
  start_url: "/board",
  scope: "/board",
  display: "standalone",
  background_color: "#0f766e",
  theme_color: "#0f766e",
  icons: [
    { src: "/board/icon-192.png", type: "image/png", sizes: "192x192" },
    { src: "/board/icon-512.png", type: "image/png", sizes: "512x512" },
    {
      src: "/board/icon-maskable.png",
      type: "image/png",
      sizes: "512x512",
      purpose: "maskable",
    },
  ],
};

/** Creates the handlers of the board's scripts, style, icons and manifest, by path. */
export function createStaticFiles() {
  return {
    "/board/board.js": createStaticFile("text/javascript", () =>
      script([pagesPath, livePath, alertsPath]),
    ),
    "/board/sign-in.js": createStaticFile("text/javascript", () => script([signInPath])),
    "/board/idiomorph.js": createStaticFile("text/javascript", Bun.file(idiomorphPath)),
    "/board/board.css": createStaticFile("text/css", Bun.file(stylePath)),
    "/board/icon.svg": createStaticFile("image/svg+xml", ICON),
    "/board/icon-192.png": createStaticFile("image/png", Bun.file(icon192Path)),
    "/board/icon-512.png": createStaticFile("image/png", Bun.file(icon512Path)),
    "/board/icon-maskable.png": createStaticFile("image/png", Bun.file(maskableIconPath)),
    "/board/manifest.json": createStaticFile("application/manifest+json", JSON.stringify(MANIFEST)),
  };
}

// bun-types 1.4.5 lacks the option, so it is not written in the literal itself.
const MINIFY = { minify: true };
const minifier = new Bun.Transpiler({ loader: "js", ...MINIFY });

/** Joins and minifies the parts of a script. */
async function script(paths: readonly string[]): Promise<string> {
  const parts = await Promise.all(paths.map((path) => Bun.file(path).text()));
  // The transpiler drops the directive.
  return `"use strict";${minifier.transformSync(parts.join(""))}`;
}
