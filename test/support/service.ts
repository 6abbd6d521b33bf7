import { createApp } from "../../src/app.ts";
import { createClient } from "./client.ts";
import { createParts, createWorld } from "./world.ts";

/** The service in this process, on a database in memory: a client of it, and the world around it. */
export function createService(environment: Record<string, string> = {}) {
  const world = createWorld();
  const parts = createParts(world, environment);
  const app = createApp(parts);
  // The framework finds a path from the 11th character of the URL on, so the host is a long one.
  const client = createClient((request) => app.http.handle(request), "http://localhost");
  return { ...client, world, parts, app };
}
