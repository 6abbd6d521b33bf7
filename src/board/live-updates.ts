import type { Log } from "../log.ts";
import { pause } from "../lib/pause.ts";

const TIMINGS = {
  /** An order must appear within a second. */
  lookMs: 500,
  /** Proxies close connections that are silent for 30 s; the page reopens its own after 40 s. */
  heartbeatMs: 15_000,
};

/** The state of the board; it differs after every change that a page shows. */
export interface Version {
  readonly newOrders: number;
  readonly lastPaidAt: number;
  readonly lastEvent: number;
}

export interface LiveUpdates {
  /**
   * Opens a stream of server-sent events (WHATWG HTML, section 9.2): `change` after a change,
   * `heartbeat` after the first successful look and then every 15 s. Both carry the number of new
   * orders as data and the version as id, so the page knows whether it must fetch itself.
   */
  open(): ReadableStream<Uint8Array>;
  /** Ends all streams: an open one would delay the end of the process. */
  close(): void;
}

type Stream = ReadableStreamDefaultController<Uint8Array>;

/**
 * Polls the database while a stream is open, so each copy sees the changes of the others. If it
 * can't be read, no event is sent, and the pages notice the silence.
 */
export function createLiveUpdates(
  readVersion: () => Promise<Version>,
  log: Log,
  { lookMs, heartbeatMs } = TIMINGS,
): LiveUpdates {
  const streams = new Set<Stream>();
  /** Streams that had no event yet. */
  const opened = new Set<Stream>();
  const ending = new AbortController();
  const encoder = new TextEncoder();
  let looking = false;

  function send(event: "change" | "heartbeat", id: string, newOrders: number, to: Set<Stream>) {
    const bytes = encoder.encode(`event: ${event}\nid: ${id}\ndata: ${newOrders}\n\n`);
    for (const stream of to) {
      try {
        stream.enqueue(bytes);
      } catch {
        // The reader left a moment ago.
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
        const { newOrders, lastPaidAt, lastEvent } = await readVersion();
        const id = `${newOrders}.${lastPaidAt}.${lastEvent}`;
        const hasChanged = known !== "" && id !== known;
        const isDue = quietMs >= heartbeatMs;
        if (hasChanged || isDue) {
          send(hasChanged ? "change" : "heartbeat", id, newOrders, streams);
          quietMs = 0;
        } else {
          send("heartbeat", id, newOrders, opened);
        }
        opened.clear();
        known = id;
      } catch (error) {
        log.warn("The board can't look for changes; it tries again.", error);
      }
      quietMs += lookMs;
      await pause(lookMs, ending.signal);
    }
    looking = false;
  }

  return {
    open() {
      let own: Stream;
      return new ReadableStream({
        start(controller) {
          own = controller;
          // The process is ending: a stream that begins now would hold it up.
          if (ending.signal.aborted) return own.close();
          streams.add(own);
          opened.add(own);
          own.enqueue(encoder.encode("retry: 1000\n\n"));
          if (!looking) void look();
        },
        cancel() {
          streams.delete(own);
          opened.delete(own);
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
