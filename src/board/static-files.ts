import idiomorphPath from "idiomorph/dist/idiomorph.min.js" with { type: "file" };
import { createStaticFile } from "../http/static-file.ts";
import boardScriptPath from "./board-client.js" with { type: "file" };
import liveScriptPath from "./board-live.js" with { type: "file" };
import signInScriptPath from "./sign-in-client.js" with { type: "file" };
import boardStylePath from "./board.css" with { type: "file" };

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0f766e"/><path d="M10 22V10l12 12V10" fill="none" stroke="#fff" stroke-width="3"/></svg>`;

/** Creates the handlers of the board's script, style and icon, by path. */
export function createStaticFiles() {
  return {
    "/board/board.js": createStaticFile("text/javascript", script),
    "/board/sign-in.js": createStaticFile("text/javascript", file(signInScriptPath)),
    "/board/idiomorph.js": createStaticFile("text/javascript", file(idiomorphPath)),
    "/board/board.css": createStaticFile("text/css", file(boardStylePath)),
    "/board/icon.svg": createStaticFile("image/svg+xml", async () =>
      new TextEncoder().encode(ICON),
    ),
  };
}

function file(path: string) {
  return () => Bun.file(path).bytes();
}

const minifier = new Bun.Transpiler({ loader: "js", minifyWhitespace: true });

/** Reads the board's script without comments and whitespace, which are a quarter of it. */
async function script(): Promise<Uint8Array> {
  const parts = [boardScriptPath, liveScriptPath].map((path) => Bun.file(path).text());
  // The transpiler drops the directive.
  return Buffer.from(`"use strict";${minifier.transformSync((await Promise.all(parts)).join(""))}`);
}
