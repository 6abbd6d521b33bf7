import { readdirSync } from "node:fs";
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";
import { createRequestDurations } from "./lib/request-durations.ts";

const COMMIT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** Whoever sends requests may invent methods, and each would be a time series of its own. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** What is true at the moment of a scrape; undefined where it can't be known, and then it is left out. */
export interface Gauges {
  readonly paymentsInDoubt: number | undefined;
  readonly oldestInDoubtSeconds: number | undefined;
  readonly unnotifiedOrders: number | undefined;
  readonly oldestUnnotifiedSeconds: number | undefined;
  readonly isWritable: boolean;
  readonly commitQueue: number | undefined;
  readonly databaseBytes: number | undefined;
  readonly walBytes: number | undefined;
}

/** What a store reports on. */
export interface CommitMetrics {
  /** A commit begins; what is answered is to be called when it is on disk. */
  startCommit(): () => void;
  /** One statement does this many calls. */
  countBatch(calls: number): void;
}

/** What the service counts and measures, for Prometheus. */
export interface Metrics extends CommitMetrics {
  /** Returns the instant to call `endRequest` with, when the request is answered. */
  startRequest(): number;
  /** Counts a request with its duration. `route` is undefined if none matched. */
  endRequest(startedAt: number, method: string, route: string | undefined, status: number): void;
  /** An order has just been settled. */
  countOrder(outcome: "paid" | "declined"): void;
  countBackup(result: "success" | "failure"): void;
  /** When the newest backup was made, in ms since 1970; 0 where there is none. */
  setLastBackup(at: number): void;
  /** All of it, in the text format of the Prometheus exposition formats, version 0.0.4. */
  render(snapshot: Gauges): Promise<string>;
}

/** The media type of what `render` gives. */
export const METRICS_MEDIA_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** For a store that nobody observes. */
export const NO_COMMIT_METRICS: CommitMetrics = {
  startCommit: () => () => {},
  countBatch: () => {},
};

/** Begins with zero of everything. `elapsed` is a clock that nobody sets, in ms from any instant. */
export function createMetrics(version: string, elapsed: () => number): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `nmservis_${name}`, help, registers });

  const requests = createRequestDurations();
  const orders = new Counter({
    name: "nmservis_orders_total",
    help: "Orders that this process has settled.",
    labelNames: ["outcome"] as const,
    registers,
  });
  const commits = new Histogram({
    name: "nmservis_commit_duration_seconds",
    help: "Time of one commit, the wait for the disk included.",
    buckets: COMMIT_SECONDS,
    registers,
  });
  const batches = new Histogram({
    name: "nmservis_commit_batch_size",
    help: "Orders, settlements or users that one statement has written.",
    buckets: BATCH_SIZES,
    registers,
  });
  const backups = new Counter({
    name: "nmservis_backups_total",
    help: "Backups that this process has made or failed to make.",
    labelNames: ["result"] as const,
    registers,
  });
  const build = new Gauge({
    name: "nmservis_build_info",
    help: "1, with the version of the program.",
    labelNames: ["version"] as const,
    registers,
  });
  const snapshots: Readonly<Record<keyof Gauges, Gauge>> = {
    paymentsInDoubt: gauge("payments_in_doubt", "Orders that wait for the provider's answer."),
    oldestInDoubtSeconds: gauge("oldest_order_in_doubt_seconds", "Age of the oldest of them."),
    unnotifiedOrders: gauge(
      "unnotified_orders",
      "Paid orders the dispatcher has not been notified of.",
    ),
    oldestUnnotifiedSeconds: gauge(
      "oldest_unnotified_order_seconds",
      "Time since the oldest of them was paid.",
    ),
    isWritable: gauge(
      "database_writable",
      "1 where a write of the last second is on disk, else 0.",
    ),
    commitQueue: gauge("commit_queue", "Steps that wait for a commit."),
    databaseBytes: gauge("database_bytes", "Size of the database."),
    walBytes: gauge("wal_bytes", "Size of SQLite's write-ahead log."),
  };
  const lastBackup = gauge(
    "last_backup_timestamp_seconds",
    "When the newest backup in BACKUP_DIR was made; 0 where there is none.",
  );
  // Until the backups begin, which they may not.
  lastBackup.remove();

  // A series that begins with its first event hides that event from rate().
  for (const outcome of ["paid", "declined"] as const) orders.inc({ outcome }, 0);
  for (const result of ["success", "failure"] as const) backups.inc({ result }, 0);
  build.set({ version }, 1);
  observeProcess(registers);

  return {
    startRequest: elapsed,
    endRequest(startedAt, method, route, status) {
      const known = METHODS.has(method) ? method : "other";
      requests.observe(known, route ?? "none", status, (elapsed() - startedAt) / 1000);
    },
    startCommit() {
      const startedAt = elapsed();
      return () => commits.observe((elapsed() - startedAt) / 1000);
    },
    countBatch: (calls) => batches.observe(calls),
    countOrder: (outcome) => orders.inc({ outcome }),
    countBackup: (result) => backups.inc({ result }),
    setLastBackup: (at) => lastBackup.set(at / 1000),
    async render(snapshot) {
      for (const [name, metric] of Object.entries(snapshots)) {
        // `as`: the names are those of the snapshot.
        const value = snapshot[name as keyof Gauges];
        if (value === undefined) metric.remove();
        else metric.set(Number(value));
      }
      return requests.render() + (await registry.metrics());
    },
  };
}

// The library's own would do, but for one that is wrong under Bun and three whose names are no good ones.
function observeProcess(registers: Registry[]): void {
  const startedAt = process.hrtime();
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `nmservis_process_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("uptime_seconds", "Time since the process began to observe itself.", () => {
    const [seconds, nanoseconds] = process.hrtime(startedAt);
    return seconds + nanoseconds / 1e9;
  });
  gauge("cpu_seconds", "CPU time of the process.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  gauge("resident_memory_bytes", "Memory that the process has.", () => process.memoryUsage.rss());
  gauge("heap_bytes", "Memory that JavaScript uses.", () => process.memoryUsage().heapUsed);
  gauge("open_files", "File descriptors that are open; 0 where that can't be told.", openFiles);
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    // Only Linux has that folder.
    return 0;
  }
}
