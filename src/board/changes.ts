import type { Log } from "../log.ts";
import { pause } from "../lib/pause.ts";

/** How often to look, while a board is open: an order is to appear within a second. */
const LOOK_MS = 500;

/** A connection on which nothing comes for longer may be closed on its way. */
const COMMENT_EVERY_MS = 15_000;

/** What a board is told: how many orders are new. */
export interface Version {
  readonly newOrders: number;
  readonly lastPaidAt: number;
  readonly lastEvent: number;
}

export interface Changes {
  /**
   * A stream of server-sent events (WHATWG HTML, section 9.2), each of which says only that something has
   * changed: the page fetches itself, and so nothing needs to be sent again.
   */
  open(): ReadableStream<Uint8Array>;
  /** Ends all streams, which would hold up the end of the process. */
  close(): void;
}

/** Looks for changes while a stream is open, in the database: so each copy sees what another has done. */
export function createChanges(readVersion: () => Promise<Version>, log: Log): Changes {
  const streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
  const ending = new AbortController();
  const encoder = new TextEncoder();
  let looking = false;

  function send(text: string) {
    const bytes = encoder.encode(text);
    for (const stream of streams) {
      try {
        stream.enqueue(bytes);
      } catch {
        // Its reader has gone in this very moment.
        streams.delete(stream);
      }
    }
  }

  async function look() {
    looking = true;
    let known = "";
    let quietMs = 0;
    while (streams.size > 0 && !ending.signal.aborted) {
      try {
        const version = await readVersion();
        const text = JSON.stringify(version);
        // The first look has nothing to compare with: who has just come has just read all.
        if (known !== "" && text !== known) {
          send(`event: change\ndata: ${version.newOrders}\n\n`);
          quietMs = 0;
        }
        known = text;
      } catch (error) {
        log.warn("The board can't look for changes; it tries again.", error);
      }
      quietMs += LOOK_MS;
      if (quietMs >= COMMENT_EVERY_MS) {
        send(":\n\n");
        quietMs = 0;
      }
      await pause(LOOK_MS, ending.signal);
    }
    looking = false;
  }

  return {
    open() {
      let own: ReadableStreamDefaultController<Uint8Array>;
      return new ReadableStream({
        start(controller) {
          own = controller;
          // The process is ending: a stream that begins now would hold it up.
          if (ending.signal.aborted) return own.close();
          streams.add(own);
          own.enqueue(encoder.encode("retry: 1000\n\n"));
          if (!looking) void look();
        },
        cancel() {
          streams.delete(own);
        },
      });
    },
    close() {
      ending.abort();
      for (const stream of streams) {
        streams.delete(stream);
        stream.close();
      }
    },
  };
}
