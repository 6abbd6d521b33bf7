import { readdirSync } from "node:fs";
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";

const COMMIT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** Clients can invent methods, and each would create a time series. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Values at the moment of a scrape. Undefined values are unknown and left out. */
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

/** Metrics that stores record. */
export interface CommitMetrics {
  /** Starts timing a commit. Call the returned function once the commit is on disk. */
  startCommit(): () => void;
  /** Records the size of a batch. */
  countBatch(items: number): void;
}

/** The service's Prometheus metrics. */
export interface Metrics extends CommitMetrics {
  /** Returns the time to pass to `endRequest` when the request is answered. */
  startRequest(): number;
  /** Counts a request with its duration. `route` is undefined if none matched. */
  endRequest(startedAt: number, method: string, route: string | undefined, status: number): void;
  /** Counts a settled order. */
  countOrder(outcome: "paid" | "declined"): void;
  countBackup(result: "success" | "failure"): void;
  /** Sets the time of the newest backup, in ms since 1970; 0 without a backup. */
  setLastBackup(at: number): void;
  /** Renders all metrics in the Prometheus text format, version 0.0.4. */
  render(snapshot: Gauges): Promise<string>;
}

/** The media type of `render`'s result. */
export const METRICS_MEDIA_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Metrics that record nothing. */
export const NO_COMMIT_METRICS: CommitMetrics = {
  startCommit: () => () => {},
  countBatch: () => {},
};

/** Creates metrics that start at zero. `elapsed` is a monotonic clock in ms. */
export function createMetrics(version: string, elapsed: () => number): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `nmservis_${name}`, help, registers });

  const requests = createRequestDurations();
  const orders = new Counter({
    name: "nmservis_orders_total",
    help: "Orders settled by this process.",
    labelNames: ["outcome"] as const,
    registers,
  });
  const commits = new Histogram({
    name: "nmservis_commit_duration_seconds",
    help: "Duration of a commit, including the disk sync.",
    buckets: COMMIT_SECONDS,
    registers,
  });
  const batches = new Histogram({
    name: "nmservis_commit_batch_size",
    help: "Orders, settlements or users written by one statement.",
    buckets: BATCH_SIZES,
    registers,
  });
  const backups = new Counter({
    name: "nmservis_backups_total",
    help: "Backups attempted by this process.",
    labelNames: ["result"] as const,
    registers,
  });
  const build = new Gauge({
    name: "nmservis_build_info",
    help: "Always 1; the label is the program's version.",
    labelNames: ["version"] as const,
    registers,
  });
  const snapshots: Readonly<Record<keyof Gauges, Gauge>> = {
    paymentsInDoubt: gauge("payments_in_doubt", "Orders whose payment is in doubt."),
    oldestInDoubtSeconds: gauge(
      "oldest_order_in_doubt_seconds",
      "Age of the oldest order in doubt.",
    ),
    unnotifiedOrders: gauge(
      "unnotified_orders",
      "Paid orders the dispatcher has not been notified of.",
    ),
    oldestUnnotifiedSeconds: gauge(
      "oldest_unnotified_order_seconds",
      "Time since the oldest unnotified order was paid.",
    ),
    isWritable: gauge(
      "database_writable",
      "1 if a write reached the disk within the last second, otherwise 0.",
    ),
    commitQueue: gauge("commit_queue", "Transactions queued for a commit."),
    databaseBytes: gauge("database_bytes", "Size of the database."),
    walBytes: gauge("wal_bytes", "Size of SQLite's write-ahead log."),
  };
  const lastBackup = gauge(
    "last_backup_timestamp_seconds",
    "When the newest backup in BACKUP_DIR was made; 0 without a backup.",
  );
  // Absent unless scheduled backups run.
  lastBackup.remove();

  // A series that starts with its first event hides that event from rate().
  const settled = { paid: orders.labels("paid"), declined: orders.labels("declined") };
  for (const series of Object.values(settled)) series.inc(0);
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
    countBatch: (items) => batches.observe(items),
    countOrder: (outcome) => settled[outcome].inc(),
    countBackup: (result) => backups.inc({ result }),
    setLastBackup: (at) => lastBackup.set(at / 1000),
    async render(snapshot) {
      for (const [name, metric] of Object.entries(snapshots)) {
        // `as`: the keys are those of `Gauges`.
        const value = snapshot[name as keyof Gauges];
        if (value === undefined) metric.remove();
        else metric.set(Number(value));
      }
      return requests.render() + (await registry.metrics());
    },
  };
}

// Instead of prom-client's default metrics: one is wrong under Bun, and three have poor names.
function observeProcess(registers: Registry[]): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `nmservis_process_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("uptime_seconds", "Uptime of the process.", () => process.uptime());
  gauge("cpu_seconds", "CPU time of the process.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  gauge("resident_memory_bytes", "Resident memory of the process.", () =>
    process.memoryUsage.rss(),
  );
  gauge("heap_bytes", "Memory used by JavaScript.", () => process.memoryUsage().heapUsed);
  gauge("open_files", "Open file descriptors; 0 if unknown.", openFiles);
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    // Only Linux has this folder.
    return 0;
  }
}

const REQUEST_DURATION = "nmservis_http_request_duration_seconds";

/** Upper bounds in seconds. */
const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Series {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  /** Number of requests by the first bucket that they fit in. The last bucket is unbounded. */
  readonly counts: number[];
  sum: number;
}

/** Histogram of request durations by method, route and status. */
interface RequestDurations {
  /** The labels must not need escaping: no quotes, backslashes or line breaks. */
  observe(method: string, route: string, status: number, seconds: number): void;
  /** Returns all series in the text format of Prometheus. */
  render(): string;
}

/**
 * Creates a histogram that records a request in 0.1 µs. prom-client's takes 1 µs, because it hashes
 * the labels each time.
 */
export function createRequestDurations(): RequestDurations {
  const seriesByLabels = new Map<string, Series>();

  // Most requests have the labels of the previous one, and building their text costs 0.5 µs.
  let last: Series | undefined;

  function seriesOf(method: string, route: string, status: number): Series {
    if (last?.status === status && last.route === route && last.method === method) return last;
    const labels = `method="${method}",route="${route}",status="${status}"`;
    last = seriesByLabels.get(labels);
    if (last === undefined) {
      const counts = new Array<number>(REQUEST_SECONDS.length + 1).fill(0);
      last = { method, route, status, counts, sum: 0 };
      seriesByLabels.set(labels, last);
    }
    return last;
  }

  function observe(method: string, route: string, status: number, seconds: number) {
    const series = seriesOf(method, route, status);
    let at = 0;
    while (seconds > (REQUEST_SECONDS[at] ?? Number.POSITIVE_INFINITY)) at++;
    series.counts[at] = (series.counts[at] ?? 0) + 1;
    series.sum += seconds;
  }

  function render(): string {
    const lines = [
      `# HELP ${REQUEST_DURATION} Time from request to response.`,
      `# TYPE ${REQUEST_DURATION} histogram`,
    ];
    for (const [labels, { counts, sum }] of seriesByLabels) {
      let total = 0;
      for (const [at, count] of counts.entries()) {
        total += count;
        lines.push(
          `${REQUEST_DURATION}_bucket{le="${REQUEST_SECONDS[at] ?? "+Inf"}",${labels}} ${total}`,
        );
      }
      lines.push(
        `${REQUEST_DURATION}_sum{${labels}} ${sum}`,
        `${REQUEST_DURATION}_count{${labels}} ${total}`,
      );
    }
    return `${lines.join("\n")}\n`;
  }

  return { observe, render };
}
