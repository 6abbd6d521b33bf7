import type { Dependencies } from "../../src/dependencies.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { Charge, ChargeOutcome } from "../../src/ports.ts";
import { readConfig } from "../../src/config.ts";
import { createBatch } from "../../src/store/batch.ts";
import { openTestStore } from "./store.ts";
import type { CallOptions } from "../../src/lib/with-timeout.ts";
import type { Store } from "../../src/store/store.ts";

/** Creates a fake outside world. It records calls, and tests can override its responses. */
export function createWorld() {
  return {
    /** The clock, which only tests advance. */
    nowMs: Date.UTC(2026, 10, 23, 9, 30),
    charges: [] as Charge[],
    sms: [] as string[],
    notified: [] as number[],
    /** If set, every store call fails with this error. */
    storeFault: undefined as Error | undefined,
    /** Log lines. */
    lines: [] as string[],
    charge: async (_charge: Charge, _options: CallOptions): Promise<ChargeOutcome> => "paid",
    sendCode: async (_phoneNumber: string): Promise<void> => {},
    notify: async (_orderId: number, _options: CallOptions): Promise<void> => {},
  };
}

export type World = ReturnType<typeof createWorld>;

function breakable(store: Store, world: World): Store {
  const run: Store["run"] = (work) =>
    world.storeFault === undefined ? store.run(work) : Promise.reject(world.storeFault);
  return {
    ...store,
    run,
    read: run,
    ping: () => run(async () => {}),
    batch: createBatch({ run }),
  };
}

/** Returns dependencies with a real store and this fake outside world. */
export function createDependencies(world: World): Dependencies {
  return {
    store: breakable(openTestStore(), world),
    config: readConfig({}),
    payment: {
      charge(charge, options) {
        world.charges.push(charge);
        return world.charge(charge, options);
      },
    },
    sms: {
      sendCode(phoneNumber) {
        world.sms.push(phoneNumber);
        return world.sendCode(phoneNumber);
      },
    },
    dispatcher: {
      notify({ orderId }, options) {
        world.notified.push(orderId);
        return world.notify(orderId, options);
      },
    },
    log: createLog({
      level: "info",
      json: false,
      write: (line) => world.lines.push(line),
      now: () => world.nowMs,
    }),
    now: () => world.nowMs,
    webhook: null,
    metrics: createMetrics("test", () => performance.now()),
    randomId: () => crypto.randomUUID(),
  };
}
