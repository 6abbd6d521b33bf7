import { createSignInLink, LINK_MS } from "../board/sign-in.ts";
import { authority, InvalidConfig, readSettings } from "../config.ts";
import { LOOPBACK } from "../settings.ts";
import { type RunCommand, UsageError } from "./command.ts";

const MINUTE_MS = 60_000;

/** Black on white, whatever the terminal's colors: not every phone reads an inverted code. */
const BLACK_ON_WHITE = "\u001b[30;107m";
const RESET = "\u001b[0m";

/** `nmservis sign-in-link`: prints a link that signs a dispatcher in once, and its QR code. */
export const signInLink: RunCommand = async (context, _options, [wanted]) => {
  const { environment, print, now, isTerminal } = context;
  const { dispatchers, publicUrl, host, port } = readSettings(environment, [
    "dispatchers",
    "publicUrl",
    "host",
    "port",
  ]);
  if (dispatchers.length === 0) {
    throw new InvalidConfig("DISPATCHERS is not set: there is no dispatcher to sign in.");
  }
  const dispatcher = dispatchers.find(({ name }) => name === wanted);
  if (dispatcher === undefined) {
    const names = dispatchers.map(({ name }) => name).join(", ");
    throw new UsageError(`sign-in-link: NAME must be one of ${names}, not "${wanted}"`);
  }
  if (publicUrl === null && port === 0) {
    throw new InvalidConfig("PORT is 0, so the address is unknown: set PUBLIC_URL.");
  }
  const isEverywhere = /^[0.:]+$/.test(host);
  const origin = publicUrl ?? `http://${isEverywhere ? "127.0.0.1" : authority(host)}:${port}`;
  const link = origin + (await createSignInLink(dispatcher, now()));
  // Loaded here: other commands do not need it.
  const { renderUnicodeCompact } = await import("uqr");
  const code = renderUnicodeCompact(link, { border: 2, invert: isTerminal });
  for (const line of code.split("\n")) {
    print(isTerminal ? `${BLACK_ON_WHITE}${line}${RESET}` : line);
  }
  print(link);
  print(`Signs in ${dispatcher.name} once, within ${LINK_MS / MINUTE_MS} minutes.`);
  if (publicUrl === null && (isEverywhere || LOOPBACK.test(host))) {
    print("It works on this machine only; for other devices, set PUBLIC_URL.");
  }
};
