import type { Parts } from "../../src/app.ts";
import { createLog } from "../../src/log.ts";
import type { Charge, ChargeOutcome } from "../../src/ports.ts";
import { readSettings } from "../../src/settings.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";

/** An outside world that does as it is told and remembers what it was asked. */
export function createWorld() {
  return {
    /** The clock; it moves only when a test moves it. */
    nowMs: Date.UTC(2026, 10, 23, 9, 30),
    charges: [] as Charge[],
    sms: [] as string[],
    announced: [] as number[],
    /** What the service has logged. */
    lines: [] as string[],
    charge: async (_charge: Charge, _signal: AbortSignal): Promise<ChargeOutcome> => "paid",
    sendCode: async (_phoneNumber: string): Promise<void> => {},
    notify: async (_orderId: number, _signal: AbortSignal): Promise<void> => {},
  };
}

export type World = ReturnType<typeof createWorld>;

/** The real parts on a database in memory, in a played outside world. */
export function createParts(world: World): Parts {
  return {
    store: openSqliteStore(":memory:"),
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
