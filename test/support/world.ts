import type { Parts } from "../../src/app.ts";
import { createLog } from "../../src/log.ts";
import type { Charge, ChargeOutcome } from "../../src/ports.ts";
import { readSettings } from "../../src/settings.ts";
import { createGrouped } from "../../src/store/grouped.ts";
import { openStore } from "./store.ts";
import type { Store } from "../../src/store/store.ts";

/** An outside world that does as it is told and remembers what it was asked. */
export function createWorld() {
  return {
    /** The clock; it moves only when a test moves it. */
    nowMs: Date.UTC(2026, 10, 23, 9, 30),
    charges: [] as Charge[],
    sms: [] as string[],
    announced: [] as number[],
    /** What every step of the store fails with, while there is something. */
    storeFault: undefined as Error | undefined,
    /** What the service has logged. */
    lines: [] as string[],
    charge: async (_charge: Charge, _signal: AbortSignal): Promise<ChargeOutcome> => "paid",
    sendCode: async (_phoneNumber: string): Promise<void> => {},
    notify: async (_orderId: number, _signal: AbortSignal): Promise<void> => {},
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
    grouped: createGrouped({ run }),
  };
}

/** The real parts on a database in memory, in a played outside world. */
export function createParts(world: World): Parts {
  return {
    store: breakable(openStore(), world),
    settings: readSettings({}),
    payment: {
      charge(charge, signal) {
        world.charges.push(charge);
        return world.charge(charge, signal);
      },
    },
    sms: {
      sendCode(phoneNumber) {
        world.sms.push(phoneNumber);
        return world.sendCode(phoneNumber);
      },
    },
    dispatcher: {
      notify(orderId, signal) {
        world.announced.push(orderId);
        return world.notify(orderId, signal);
      },
    },
    log: createLog({
      level: "info",
      json: false,
      write: (line) => world.lines.push(line),
      now: () => world.nowMs,
    }),
    now: () => world.nowMs,
    randomId: () => crypto.randomUUID(),
  };
}
