import { createApp } from "../../src/app.ts";
import type { Dependencies } from "../../src/dependencies.ts";
import { chargeJobs, notificationJobs } from "../../src/orders/order-jobs.ts";
import { readConfig } from "../../src/config.ts";
import { createClient } from "./client.ts";
import { createDependencies, createWorld } from "./world.ts";

/** Creates the service in this process on an in-memory database, with a client and a fake world. */
export function createService(environment: Record<string, string> = {}) {
  const world = createWorld();
  return { world, ...createServiceOn(createDependencies(world), environment) };
}

/** Creates the service on existing dependencies, as after a restart. */
export function createServiceOn(given: Dependencies, environment: Record<string, string> = {}) {
  const dependencies = { ...given, config: readConfig(environment) };
  const app = createApp(dependencies);
  // Elysia looks for the path after the URL's first 11 characters, so a shorter host breaks it.
  const client = createClient((request) => app.http.handle(request), "http://localhost");
  /** Makes waiting orders due, as the workers do when they start on SQLite. */
  const resume = () => {
    const now = dependencies.now();
    return dependencies.store.run(async (tx) => {
      for (const jobs of [chargeJobs, notificationJobs])
        await jobs.makeDue(tx, { now, after: now });
    });
  };
  return { ...client, dependencies, app, resume };
}
