import { createApp, type Parts } from "../../src/app.ts";
import { readSettings } from "../../src/settings.ts";
import { createClient } from "./client.ts";
import { createParts, createWorld } from "./world.ts";

/** The service in this process, on a database in memory: a client of it, and the world around it. */
export function createService(environment: Record<string, string> = {}) {
  const world = createWorld();
  return { world, ...createServiceOn(createParts(world), environment) };
}

/** The same on parts that are there, as after a restart. */
export function createServiceOn(given: Parts, environment: Record<string, string> = {}) {
  const parts = { ...given, settings: readSettings(environment) };
  const app = createApp(parts);
  // The framework finds a path from the 11th character of the URL on, so the host is a long one.
  const client = createClient((request) => app.http.handle(request), "http://localhost");
  return { ...client, parts, app };
}
