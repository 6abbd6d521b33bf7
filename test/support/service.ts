import { createApp } from "../../src/app.ts";
import type { Dependencies } from "../../src/dependencies.ts";
import { makeOrdersDue } from "../../src/orders/jobs.ts";
import { readConfig } from "../../src/config.ts";
import { createClient } from "./client.ts";
import { createDependencies, createWorld } from "./world.ts";

/** The service in this process, on a database in memory: a client of it, and the world around it. */
export function createService(environment: Record<string, string> = {}) {
  const world = createWorld();
  return { world, ...createServiceOn(createDependencies(world), environment) };
}

/** The same on dependencies that are there, as after a restart. */
export function createServiceOn(given: Dependencies, environment: Record<string, string> = {}) {
  const dependencies = { ...given, config: readConfig(environment) };
  const app = createApp(dependencies);
  // The framework finds a path from the 11th character of the URL on, so the host is a long one.
  const client = createClient((request) => app.http.handle(request), "http://localhost");
  /** As the workers do when the one process starts. */
  const resume = () => {
    const now = dependencies.now();
    return dependencies.store.run(async (tx) => {
      for (const status of ["pending", "paid"])
        await makeOrdersDue(tx, { status, now, after: now });
    });
  };
  return { ...client, dependencies, app, resume };
}
