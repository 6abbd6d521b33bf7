import { join } from "node:path";

/** wrk if installed, otherwise our own client, which uses more CPU time. */
export const LOADER = Bun.which("wrk") === null ? "a Bun client" : "wrk";

/** `keyless`: users in turn, without keys. `keyed`: random users, with random keys. */
export type OrderLoad = "keyless" | "keyed";

export interface Measure {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Generates load from a separate process. Throws if any request fails. */
export async function load(
  origin: string,
  endpoint: "/create_order" | "/create_order keyed" | "/register",
  connections: number,
  seconds: number,
  count: number,
): Promise<Measure> {
  const script = (name: string) => join(import.meta.dir, name);
  const command =
    LOADER === "wrk"
      ? [
          "wrk",
          "-t1",
          `-c${connections}`,
          `-d${seconds}s`,
          "--timeout",
          "20s",
          "-s",
          script("load.lua"),
          origin,
        ]
      : [process.execPath, script("load-client.ts"), origin, String(connections), String(seconds)];
  const args = LOADER === "wrk" ? ["--", endpoint, String(count)] : [endpoint, String(count)];
  const child = Bun.spawn([...command, ...args], { stdout: "pipe", stderr: "inherit" });
  const printed = await child.stdout.text();
  const figures = /RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/.exec(printed)?.slice(1).map(Number);
  if (figures === undefined) throw new Error(`the load client printed no result: ${printed}`);
  const [requests = 0, micros = 0, failed = 0, p50 = 0, p99 = 0] = figures;
  if (failed > 0 || requests === 0)
    throw new Error(`${failed} of ${requests} requests to ${endpoint} failed: ${printed}`);
  return { requests, perSecond: requests / (micros / 1e6), p50Ms: p50 / 1000, p99Ms: p99 / 1000 };
}
