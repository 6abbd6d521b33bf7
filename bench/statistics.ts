import { readFileSync } from "node:fs";

/** Returns the median. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [Math.floor((sorted.length - 1) / 2), Math.floor(sorted.length / 2)];
  return ((sorted[low] ?? Number.NaN) + (sorted[high] ?? Number.NaN)) / 2;
}

/** Formats the median, followed by the minimum and maximum in parentheses. */
export function spread(ratios: readonly number[]): string {
  const [min, max] = [Math.min(...ratios), Math.max(...ratios)];
  return `${median(ratios).toFixed(2)} (${min.toFixed(2)} … ${max.toFixed(2)})`;
}

/** Returns the resident memory of a process in MB. */
export function residentMb({ pid }: { readonly pid: number }): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}
