import { createLog, type Log } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import type { ChargeOutcome } from "../../../src/ports.ts";
import { startServer } from "../../../src/server.ts";
import { readConfig } from "../../../src/config.ts";
import { openPostgresStore } from "../../../src/store/postgres/store.ts";
import { openSqliteStore } from "../../../src/store/sqlite/store.ts";
import type { BatchWork, Store } from "../../../src/store/store.ts";
import type { KillPoint, Sabotage } from "./kill-points.ts";

// The service with its real dependencies, in the outside world of another process. It dies by kill -9 when it
// has come to the point KILL_AT for the KILL_AFTERth time.

const world = String(process.env["WORLD_URL"]);
const killAt = process.env["KILL_AT"];
const sabotage = process.env["SABOTAGE"];
let untilDeath = Number(process.env["KILL_AFTER"]);

/** How long the process stands still once an order is opened, and within a claim. */
const holdOpeningsMs = Number(process.env["HOLD_OPENINGS_MS"] ?? 0);
const holdClaimsMs = Number(process.env["HOLD_CLAIMS_MS"] ?? 0);

/** The ids of orders that the dispatcher was notified of, and that are not recorded as such yet. */
const notified = new Set<unknown>();

// No await at the top, which bytecode does not know.
void main();

async function main() {
  const config = readConfig(process.env);
  const log = createLog({ level: "error", json: false, write: () => {}, now: Date.now });
  const { database } = config;
  const { store, now } =
    database.kind === "sqlite"
      ? { store: openSqliteStore(database.path, log), now: Date.now }
      : await openPostgres(database.url, log);
  const service = await startServer({
    store: mortal(store),
    config,
    sms: { sendCode: async () => {} },
    payment: {
      async charge(charge, { signal }) {
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
      async notify({ orderId }, { signal }) {
        pass("after an order is settled");
        if (!isSabotaged("record a notification that was not sent")) {
          await say(`/notify/${orderId}`, {}, signal);
        }
        notified.add(orderId);
        pass("after a notification");
      },
    },
    log,
    webhook: null,
    metrics: createMetrics("test", () => performance.now()),
    now,
    randomId() {
      // The clients name their requests, so that this is asked for at the start of each order only.
      pass("before an order is written");
      return crypto.randomUUID();
    },
  });
  console.log(service.url);
}

async function openPostgres(url: string, log: Log) {
  const store = await openPostgresStore(url, log, () => performance.now());
  return { store, now: store.now };
}

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
    const result = await store.run(async (tx) => {
      const value = await work(tx);
      if (holdClaimsMs > 0 && hasClaimed(value)) await Bun.sleep(holdClaimsMs);
      pass("before a commit");
      return value;
    });
    pass("after a commit");
    return result;
  };

  function batch<Item, Result>(work: BatchWork<Item, Result>) {
    const usual = store.batch(async (tx, items: readonly Item[]) => {
      const results = await work(tx, items);
      pass("before a commit");
      return results;
    });
    return async (item: Item): Promise<Result> => {
      if (isSabotaged("answer before the commit") && isOrderDraft(item)) {
        return answerTooSoon(store, work, item);
      }
      const result = await usual(item);
      pass("after a commit");
      if (holdOpeningsMs > 0 && isOrderDraft(item)) await Bun.sleep(holdOpeningsMs);
      // The step that gets the id of an order just notified of is the one that records it.
      if (notified.delete(item)) pass("after recording a notification");
      return result;
    };
  }

  return { ...store, run, batch };
}

/** Whether a transaction with this result has claimed jobs for a worker. */
function hasClaimed(result: unknown): boolean {
  const { claimed } = Object(result) as { claimed?: unknown };
  return Array.isArray(claimed) && claimed.length > 0;
}

/** Whether the step that is given this opens an order: a draft alone has its payment key already. */
function isOrderDraft(item: unknown): boolean {
  return typeof item === "object" && item !== null && "paymentKey" in item;
}

/** Answers within the step, which never comes to its commit. */
function answerTooSoon<Item, Result>(
  store: Store,
  work: BatchWork<Item, Result>,
  item: Item,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const step = store.run(async (tx) => {
      for (const result of await work(tx, [item])) resolve(result);
      await new Promise(() => {});
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
