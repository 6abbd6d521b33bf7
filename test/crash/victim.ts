import { createLog } from "../../src/log.ts";
import type { ChargeOutcome } from "../../src/ports.ts";
import { startService } from "../../src/service.ts";
import { readSettings } from "../../src/settings.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { createGrouped } from "../../src/store/grouped.ts";
import type { Store } from "../../src/store/store.ts";
import type { KillPoint, Sabotage } from "./kill-points.ts";

// The service with its real parts, in the outside world of another process. It dies by kill -9 when it
// has come to the point KILL_AT for the KILL_AFTERth time.

const world = String(process.env["WORLD_URL"]);
const killAt = process.env["KILL_AT"];
const sabotage = process.env["SABOTAGE"];
let untilDeath = Number(process.env["KILL_AFTER"]);

function pass(point: KillPoint) {
  if (point !== killAt) return;
  untilDeath -= 1;
  if (untilDeath <= 0) process.kill(process.pid, "SIGKILL");
}

function isSabotaged(by: Sabotage): boolean {
  return sabotage === by;
}

/** The same store, which the process may not survive. */
function mortal(store: Store): Store {
  const run: Store["run"] = async (work) => {
    if (isSabotaged("answer before the commit")) return runTooSoon(store, work);
    const result = await store.run(async (tx) => {
      const value = await work(tx);
      pass("before a commit");
      return value;
    });
    pass("after a commit");
    // Of all steps this one alone answers with the numbers of orders.
    if (Array.isArray(result) && typeof result[0] === "number")
      pass("after noting an announcement");
    return result;
  };
  return { ...store, run, grouped: createGrouped({ run }) };
}

function runTooSoon<T>(store: Store, work: Parameters<typeof store.run<T>>[0]): Promise<T> {
  return new Promise((resolve, reject) => {
    const step = store.run(async (tx) => {
      const value = await work(tx);
      resolve(value);
      await Bun.sleep(10);
      pass("before a commit");
    });
    step.catch(reject);
  });
}

async function say(path: string, body: object, signal: AbortSignal): Promise<string> {
  const response = await fetch(world + path, {
    method: "POST",
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.text();
}

const settings = readSettings(process.env);
const log = createLog({ level: "error", json: false, write: () => {}, now: Date.now });
const service = await startService({
  store: mortal(openSqliteStore(settings.databasePath, log)),
  settings,
  sms: { sendCode: async () => {} },
  payment: {
    async charge(charge, signal) {
      pass("after an order is written");
      const paymentKey = isSabotaged("a fresh payment key per try")
        ? crypto.randomUUID()
        : charge.paymentKey;
      const outcome = await say("/charge", { ...charge, paymentKey }, signal);
      pass("after a charge");
      // `as`: the world says nothing else.
      return outcome as ChargeOutcome;
    },
  },
  dispatcher: {
    async notify(orderId, signal) {
      pass("after an order is settled");
      if (isSabotaged("note an announcement that is none")) return;
      await say(`/notify/${orderId}`, {}, signal);
      pass("after an announcement");
    },
  },
  log,
  now: Date.now,
  randomId() {
    // The clients name their requests, so that this is asked for at the start of each order only.
    pass("before an order is written");
    return crypto.randomUUID();
  },
});
console.log(service.url);
