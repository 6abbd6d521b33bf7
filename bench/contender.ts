import { load, type Measure } from "./load.ts";
import type { Peer } from "./peers.ts";

/** Time for just-in-time compilers. */
export const WARM_UP_SECONDS = 4;

export const ENDPOINTS = ["/create_order keyed", "/create_order", "/register"] as const;

/** Number of users to register before a turn. */
export const USERS = 1000;

/** The payment stub's test numbers come first. */
export const FIRST_NUMBER = 10;

/** A service under load. */
export interface Contender {
  readonly name: string;
  readonly peer: Peer;
  /** The next unused phone number. */
  nextNumber: number;
}

/** Runs the load against one contender. */
export async function turn(
  contender: Contender,
  endpoint: (typeof ENDPOINTS)[number],
  connections: number,
  seconds: number,
): Promise<Measure> {
  // Otherwise this contender would wait for the previous contender's writes.
  if (Bun.which("sync") !== null) Bun.spawnSync(["sync"]);
  const count = endpoint === "/register" ? contender.nextNumber : USERS;
  const measure = await load(contender.peer.url, endpoint, connections, seconds, count);
  if (endpoint === "/register") contender.nextNumber += measure.requests + connections;
  return measure;
}

/** Registers users 1 to USERS. */
export async function registerUsers(url: string) {
  for (let number = FIRST_NUMBER; number < FIRST_NUMBER + USERS; number++) {
    const response = await fetch(`${url}/register`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ phone_number: `+9989${String(number).padStart(8, "0")}` }),
    });
    if (!response.ok) throw new Error(`registering: ${response.status} ${await response.text()}`);
  }
}
