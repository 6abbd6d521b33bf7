import { createLog, type Log } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import type { ChargeOutcome } from "../../../src/ports.ts";
import { startServer } from "../../../src/server.ts";
import { readConfig } from "../../../src/config.ts";
import { openPostgresStore } from "../../../src/store/postgres/store.ts";
import { openSqliteStore } from "../../../src/store/sqlite/store.ts";
import type { BatchWork, Store } from "../../../src/store/store.ts";
import type { KillPoint, Sabotage } from "./kill-points.ts";

// The service with the real store, calling outside-world.ts at WORLD_URL. Kills itself with SIGKILL
// when it has reached the point KILL_AT KILL_AFTER times.

const world = String(process.env["WORLD_URL"]);
const killAt = process.env["KILL_AT"];
const sabotage = process.env["SABOTAGE"];
let hitsLeft = Number(process.env["KILL_AFTER"]);

/** How long the process stalls after inserting an order, and within a claim. */
const holdInsertsMs = Number(process.env["HOLD_INSERTS_MS"] ?? 0);
const holdClaimsMs = Number(process.env["HOLD_CLAIMS_MS"] ?? 0);

/** Ids of orders whose notification was sent but is not recorded yet. */
const notified = new Set<unknown>();

// No top-level await: bytecode does not support it.
void main();

async function main() {
  const config = readConfig(process.env);
  const log = createLog({ level: "error", json: false, write: () => {}, now: Date.now });
  const { database } = config;
  const { store, now } =
    database.kind === "sqlite"
      ? { store: openSqliteStore(database.path, log, () => performance.now()), now: Date.now }
      : await openPostgres(database.url, log);
  const service = await startServer({
    store: withKillPoints(store),
    config,
    sms: { sendCode: async () => {} },
    payment: {
      async charge(charge, { signal }) {
        reach("after an order is written");
        const paymentKey = isSabotaged("a fresh payment key per attempt")
          ? crypto.randomUUID()
          : charge.paymentKey;
        const outcome = await call("/charge", { ...charge, paymentKey }, signal);
        reach("after a charge");
        // `as`: outside-world.ts answers nothing else.
        return outcome as ChargeOutcome;
      },
    },
    dispatcher: {
      async notify({ orderId }, { signal }) {
        reach("after an order is settled");
        if (!isSabotaged("record a notification that was not sent")) {
          await call(`/notify/${orderId}`, {}, signal);
        }
        notified.add(orderId);
        reach("after a notification");
      },
    },
    log,
    webhook: null,
    metrics: createMetrics("test", () => performance.now()),
    now,
    randomId() {
      // The clients send X-Request-Id, so this is only called at the start of each order.
      reach("before an order is written");
      return crypto.randomUUID();
    },
  });
  console.log(service.url);
}

async function openPostgres(url: string, log: Log) {
  const store = await openPostgresStore(url, log, () => performance.now());
  return { store, now: store.now };
}

function reach(point: KillPoint) {
  if (point !== killAt) return;
  hitsLeft -= 1;
  if (hitsLeft <= 0) process.kill(process.pid, "SIGKILL");
}

function isSabotaged(by: Sabotage): boolean {
  return sabotage === by;
}

/** Adds the kill points and stalls to the store. */
function withKillPoints(store: Store): Store {
  const run: Store["run"] = async (work) => {
    const result = await store.run(async (tx) => {
      const value = await work(tx);
      if (holdClaimsMs > 0 && hasClaimed(value)) await Bun.sleep(holdClaimsMs);
      reach("before a commit");
      return value;
    });
    reach("after a commit");
    return result;
  };

  function batch<Item, Result>(work: BatchWork<Item, Result>) {
    const usual = store.batch(async (tx, items: readonly Item[]) => {
      const results = await work(tx, items);
      reach("before a commit");
      return results;
    });
    return async (item: Item): Promise<Result> => {
      if (isSabotaged("answer before the commit") && isOrderDraft(item)) {
        return answerBeforeCommit(store, work, item);
      }
      const result = await usual(item);
      reach("after a commit");
      if (holdInsertsMs > 0 && isOrderDraft(item)) await Bun.sleep(holdInsertsMs);
      // A batched write for an order whose notification was just sent is the one that records it.
      if (notified.delete(item)) reach("after recording a notification");
      return result;
    };
  }

  return { ...store, run, batch };
}

/** Returns whether a transaction with this result has claimed jobs for a worker. */
function hasClaimed(result: unknown): boolean {
  const { claimed } = Object(result) as { claimed?: unknown };
  return Array.isArray(claimed) && claimed.length > 0;
}

/** Returns whether this batch item inserts an order: only new orders carry a payment key. */
function isOrderDraft(item: unknown): boolean {
  return typeof item === "object" && item !== null && "paymentKey" in item;
}

/** Answers without ever committing the transaction. */
function answerBeforeCommit<Item, Result>(
  store: Store,
  work: BatchWork<Item, Result>,
  item: Item,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const transaction = store.run(async (tx) => {
      for (const result of await work(tx, [item])) resolve(result);
      await new Promise(() => {});
    });
    transaction.catch(reject);
  });
}

async function call(path: string, body: object, signal: AbortSignal): Promise<string> {
  const response = await fetch(world + path, {
    method: "POST",
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.text();
}
