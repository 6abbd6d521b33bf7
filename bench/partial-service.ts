import { Elysia } from "elysia";
import { createDispatcherStub, createPaymentStub, createSmsStub } from "../src/adapters/stubs.ts";
import { createApp } from "../src/app.ts";
import { readConfig } from "../src/config.ts";
import { createAccess } from "../src/http/access.ts";
import { guard } from "../src/http/guard.ts";
import { logRequests } from "../src/http/request-log.ts";
import { createLog } from "../src/log.ts";
import { createMetrics } from "../src/metrics.ts";
import { CREATE_ORDER } from "../src/orders/routes.ts";
import type { Store } from "../src/store/store.ts";
import { REGISTER } from "../src/users/routes.ts";
import { TURNS } from "../src/store/sqlite/group-commit.ts";
import { openStore } from "../test/support/store.ts";

// Runs the service up to one stage of an order, as a contender of the bench. The difference between
// adjacent stages is the cost of a stage. Argument: "guard", "observed" (with metrics), "flow"
// (with an instant store) or "sql" (in memory).

const config = readConfig(process.env);
const log = createLog({ level: "error", json: true, write: console.log, now: Date.now });
const dependencies = {
  sms: createSmsStub(log),
  payment: createPaymentStub(log, 0),
  dispatcher: createDispatcherStub(log),
  log,
  webhook: null,
  metrics: createMetrics("test", () => performance.now()),
  now: Date.now,
  randomId: () => crypto.randomUUID(),
  config,
};

let lastId = 0;

const [stage] = process.argv.slice(2);
const http =
  stage === "guard" || stage === "observed"
    ? guarded(stage === "observed")
    : createApp({ ...dependencies, store: storeOf(stage) }).http;
http.listen({ hostname: "127.0.0.1", port: 0, reusePort: false, development: false });
console.log(`listening on http://127.0.0.1:${http.server?.port}`);

function guarded(isObserved: boolean) {
  const access = createAccess(config);
  return new Elysia({ normalize: false, systemRouter: false })
    .use(isObserved ? logRequests({ ...dependencies, access }) : (app: Elysia) => app)
    .use(guard({ ...dependencies, access }))
    .post(
      "/register",
      () => ({
        status: "ok" as const,
        message: "User registered successfully" as const,
        user_id: ++lastId,
      }),
      REGISTER,
    )
    .post(
      "/create_order",
      () => ({
        status: "ok" as const,
        order_id: ++lastId,
        message: "Order created and payment processed" as const,
      }),
      CREATE_ORDER,
    );
}

function storeOf(name: string | undefined): Store {
  return name === "sql" ? openStore() : instantStore();
}

/** Stores nothing, and returns a success for each item when a group commit would begin. */
function instantStore(): Store {
  let gathering: Promise<void> | undefined;
  async function gather() {
    for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
    gathering = undefined;
  }
  const nothing = async () => [] as never;
  return {
    isShared: false,
    run: nothing,
    read: nothing,
    // `as`: the result that the service's batches return for such an item.
    batch: () => (item) => (gathering ??= gather()).then(() => resultOf(item) as never),
    measure: async () => ({ queuedTransactions: 0, databaseBytes: 0, walBytes: 0 }),
    ping: async () => {},
    close: async () => {},
  };
}

function resultOf(item: unknown): unknown {
  if (typeof item !== "object" || item === null) return item;
  // A settled order, without a notification.
  if ("attempt" in item) return { status: "paid" };
  if (!("paymentKey" in item)) return { userId: ++lastId, smsDue: false };
  const charge = { paymentKey: item.paymentKey, amountTiyin: 30_000, payer: "+998901234567" };
  const lease = { attempt: 1, dueAt: Number.POSITIVE_INFINITY };
  return { ...charge, ...lease, orderId: ++lastId, tariffTitle: "Standard", statusAt: 0 };
}
