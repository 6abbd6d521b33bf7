import { readdirSync } from "node:fs";

// Written without prom-client: its histogram takes 1 µs per request, because it hashes the labels each
// time, and everything else here is a few lines.

/** The media type of `render`'s result. */
export const METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8";

// Upper bounds of the histograms' buckets.
const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const COMMIT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** Clients can invent methods, and each would create a time series. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Values at the moment of a scrape. Unknown values are left out. */
export interface Gauges {
  readonly paymentsInDoubt?: number | undefined;
  readonly oldestInDoubtSeconds?: number | undefined;
  readonly unnotifiedOrders?: number | undefined;
  readonly oldestUnnotifiedSeconds?: number | undefined;
  readonly isWritable: boolean;
  readonly commitQueue?: number | undefined;
  readonly databaseBytes?: number | undefined;
  readonly walBytes?: number | undefined;
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
  render(gauges: Gauges): string;
}

/** Metrics that record nothing. */
export const NO_COMMIT_METRICS: CommitMetrics = {
  startCommit: () => () => {},
  countBatch: () => {},
};

/** Creates metrics that start at zero. `elapsed` is a monotonic clock in ms. */
export function createMetrics(version: string, elapsed: () => number): Metrics {
  const requests = createRequestDurations();
  const commits = createSeries(COMMIT_SECONDS);
  const batches = createSeries(BATCH_SIZES);
  // Present from the start: a series that begins with its first event hides it from rate().
  const orders = { paid: 0, declined: 0 };
  const backups = { success: 0, failure: 0 };
  /** Undefined unless scheduled backups run. */
  let lastBackupSeconds: number | undefined;

  return {
    startRequest: elapsed,
    endRequest(startedAt, method, route, status) {
      const known = METHODS.has(method) ? method : "other";
      requests.observe(known, route ?? "none", status, (elapsed() - startedAt) / 1000);
    },
    startCommit() {
      const startedAt = elapsed();
      return () => record(commits, (elapsed() - startedAt) / 1000);
    },
    countBatch: (items) => record(batches, items),
    countOrder: (outcome) => void orders[outcome]++,
    countBackup: (result) => void backups[result]++,
    setLastBackup: (at) => void (lastBackupSeconds = at / 1000),
    render: (gauges) =>
      [
        requests.render(),
        counter("orders_total", "Orders settled by this process.", "outcome", orders),
        family(
          "commit_duration_seconds",
          "histogram",
          "Duration of a commit, including the disk sync.",
          samplesOf(commits),
        ),
        family(
          "commit_batch_size",
          "histogram",
          "Orders, settlements or users written by one statement.",
          samplesOf(batches),
        ),
        counter("backups_total", "Backups attempted by this process.", "result", backups),
        family("build_info", "gauge", "Always 1; the label is the program's version.", [
          `{version="${version}"} 1`,
        ]),
        gauge("payments_in_doubt", "Orders whose payment is in doubt.", gauges.paymentsInDoubt),
        gauge(
          "oldest_order_in_doubt_seconds",
          "Age of the oldest order in doubt.",
          gauges.oldestInDoubtSeconds,
        ),
        gauge(
          "unnotified_orders",
          "Paid orders the dispatcher has not been notified of.",
          gauges.unnotifiedOrders,
        ),
        gauge(
          "oldest_unnotified_order_seconds",
          "Time since the oldest unnotified order was paid.",
          gauges.oldestUnnotifiedSeconds,
        ),
        gauge(
          "database_writable",
          "1 if a write reached the disk within the last second, otherwise 0.",
          Number(gauges.isWritable),
        ),
        gauge("commit_queue", "Transactions queued for a commit.", gauges.commitQueue),
        gauge("database_bytes", "Size of the database.", gauges.databaseBytes),
        gauge("wal_bytes", "Size of SQLite's write-ahead log.", gauges.walBytes),
        gauge(
          "last_backup_timestamp_seconds",
          "When the newest backup in BACKUP_DIR was made; 0 without a backup.",
          lastBackupSeconds,
        ),
        ...processGauges(),
      ].join("\n"),
  };
}

function processGauges(): string[] {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  return [
    gauge("process_uptime_seconds", "Uptime of the process.", process.uptime()),
    gauge("process_cpu_seconds", "CPU time of the process.", (user + system) / 1e6),
    gauge("process_resident_memory_bytes", "Resident memory of the process.", rss),
    gauge("process_heap_bytes", "Memory used by JavaScript.", heapUsed),
    gauge("process_open_files", "Open file descriptors; 0 if unknown.", openFiles()),
  ];
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    // Only Linux has this folder.
    return 0;
  }
}

/** Renders a metric. Each sample is a suffix of the name, such as labels, and the value. */
function family(
  name: string,
  type: "counter" | "gauge" | "histogram",
  help: string,
  samples: readonly string[],
): string {
  const lines = [`# HELP nmservis_${name} ${help}`, `# TYPE nmservis_${name} ${type}`];
  for (const sample of samples) lines.push(`nmservis_${name}${sample}`);
  return `${lines.join("\n")}\n`;
}

function gauge(name: string, help: string, value: number | undefined): string {
  return family(name, "gauge", help, value === undefined ? [] : [` ${value}`]);
}

/** Renders a counter with one label. */
function counter(
  name: string,
  help: string,
  label: string,
  counts: Readonly<Record<string, number>>,
): string {
  const samples = Object.entries(counts).map(([value, count]) => `{${label}="${value}"} ${count}`);
  return family(name, "counter", help, samples);
}

/** A time series of a histogram. */
interface Series {
  readonly bounds: readonly number[];
  /** Number of values by the first bucket that they fit in. The last bucket is unbounded. */
  readonly counts: number[];
  sum: number;
}

function createSeries(bounds: readonly number[]): Series {
  return { bounds, counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 };
}

function record(series: Series, value: number): void {
  let at = 0;
  while (value > (series.bounds[at] ?? Number.POSITIVE_INFINITY)) at++;
  series.counts[at] = (series.counts[at] ?? 0) + 1;
  series.sum += value;
}

function samplesOf({ bounds, counts, sum }: Series, labels = ""): string[] {
  let total = 0;
  const buckets = counts.map((count, at) => {
    total += count;
    return `_bucket{le="${bounds[at] ?? "+Inf"}"${labels && `,${labels}`}} ${total}`;
  });
  const own = labels && `{${labels}}`;
  return [...buckets, `_sum${own} ${sum}`, `_count${own} ${total}`];
}

/** Histogram of request durations by method, route and status. */
interface RequestDurations {
  /** The labels must not need escaping: no quotes, backslashes or line breaks. */
  observe(method: string, route: string, status: number, seconds: number): void;
  render(): string;
}

/** Creates a histogram that records a request in 0.1 µs. */
export function createRequestDurations(): RequestDurations {
  const seriesByLabels = new Map<string, Series>();
  // Most requests have the labels of the previous one, and building their text costs 0.5 µs.
  let last: { method: string; route: string; status: number; series: Series } | undefined;

  function seriesOf(method: string, route: string, status: number): Series {
    if (last?.status === status && last.route === route && last.method === method) {
      return last.series;
    }
    const labels = `method="${method}",route="${route}",status="${status}"`;
    const series = seriesByLabels.get(labels) ?? createSeries(REQUEST_SECONDS);
    seriesByLabels.set(labels, series);
    last = { method, route, status, series };
    return series;
  }

  return {
    observe: (method, route, status, seconds) => record(seriesOf(method, route, status), seconds),
    render() {
      const samples = Array.from(seriesByLabels, ([labels, series]) => samplesOf(series, labels));
      return family(
        "http_request_duration_seconds",
        "histogram",
        "Time from request to response.",
        samples.flat(),
      );
    },
  };
}
