import { createOutageLog, type Log } from "../log.ts";
import { pause } from "../lib/pause.ts";

const TIMINGS = {
  /** Orders must appear within a second. */
  pollMs: 500,
  /** Some proxies close connections after 30 s of silence; the page reopens its own after 40 s. */
  heartbeatMs: 15_000,
};

/** The state of the board. It changes with every payment and every event. */
export interface Version {
  readonly newOrders: number;
  readonly lastPaidAt: number;
  readonly lastEvent: number;
  /** How many of the last 100 event ids exist. */
  readonly recentEvents: number;
}

interface LiveUpdates {
  /**
   * Opens a stream of server-sent events (WHATWG HTML, section 9.2): `change` after a change,
   * `heartbeat` after the first successful poll and then every 15 s. Both carry the number of new
   * orders as data and the version as id, so the page can tell whether it is outdated.
   */
  open(): ReadableStream<Uint8Array>;
  /** Closes all streams: an open one would delay the shutdown. */
  close(): void;
}

type Stream = ReadableStreamDefaultController<Uint8Array>;

/**
 * Polls the database while a stream is open, so each instance sees the changes of the others. While
 * the database is unreadable it sends no events, so the pages detect the outage.
 */
export function createLiveUpdates(
  readVersion: () => Promise<Version>,
  log: Log,
  { pollMs, heartbeatMs } = TIMINGS,
): LiveUpdates {
  const streams = new Set<Stream>();
  /** Streams without an event yet. */
  const opened = new Set<Stream>();
  const ending = new AbortController();
  const encoder = new TextEncoder();
  const outages = createOutageLog(log, "Reading the board's version");
  let isPolling = false;

  function send(event: "change" | "heartbeat", id: string, newOrders: number, to: Set<Stream>) {
    const bytes = encoder.encode(`event: ${event}\nid: ${id}\ndata: ${newOrders}\n\n`);
    for (const stream of to) {
      try {
        stream.enqueue(bytes);
      } catch {
        // The reader has just disconnected.
        streams.delete(stream);
      }
    }
  }

  async function poll() {
    isPolling = true;
    let known = "";
    let quietMs = 0;
    while (streams.size > 0 && !ending.signal.aborted) {
      try {
        const { newOrders, lastPaidAt, lastEvent, recentEvents } = await readVersion();
        outages.succeeded();
        const id = `${newOrders}.${lastPaidAt}.${lastEvent}.${recentEvents}`;
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
        outages.failed(error);
      }
      quietMs += pollMs;
      await pause(pollMs, ending.signal);
    }
    isPolling = false;
  }

  return {
    open() {
      let own: Stream;
      return new ReadableStream({
        start(controller) {
          own = controller;
          // A new stream would delay the shutdown.
          if (ending.signal.aborted) return own.close();
          streams.add(own);
          opened.add(own);
          own.enqueue(encoder.encode("retry: 1000\n\n"));
          if (!isPolling) void poll();
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
