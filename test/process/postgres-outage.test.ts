import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createLog } from "../../src/log.ts";
import type { Clock } from "../../src/ports.ts";
import { openPostgresStore } from "../../src/store/postgres/store.ts";
import type { Store, Tx } from "../../src/store/store.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { freePort } from "../support/free-port.ts";
import {
  createDatabase,
  execute,
  type PostgresServer,
  startPostgres,
} from "../support/postgres.ts";
import { refusal } from "../support/rows.ts";
import { skip } from "../support/skip.ts";
import { type Fate, startProxy } from "../support/tcp-proxy.ts";

// Writes during an outage fail with `Unavailable`, or with `OutcomeUnknown` if they may have
// committed.

setDefaultTimeout(BUSY_MACHINE_MS);

/** For transactions that must time out. */
const SHORT_MS = 300;

const NO_POSTGRES = "PostgreSQL, which is not installed (Debian's postgresql)";

let server: PostgresServer | undefined;
let url = "";
beforeAll(async () => {
  server = await startPostgres();
  if (server !== undefined) url = await createDatabase(server.urlOf("postgres"));
});
afterAll(async () => server?.[Symbol.asyncDispose]());

const log = createLog({ level: "error", json: false, write: () => {}, now: Date.now });

const realClock: Clock = () => performance.now();

/** Opens a store, not connected yet, that reaches the server through a proxy. */
async function openBehindProxy(port: number, timeoutMs: number, elapsed: Clock) {
  const network = { port, judge: (_data: string): Fate => "pass" };
  const proxy = startProxy(() => network.port, { judge: (data) => network.judge(data) });
  const far = url.replace(/:\d+\//, `:${proxy.port}/`);
  const store = await openPostgresStore(far, log, elapsed, undefined, timeoutMs);
  return {
    store,
    network,
    async [Symbol.asyncDispose]() {
      await store.close();
      proxy[Symbol.dispose]();
    },
  };
}

/** Starts a server that answers logins with this error code, if given, and closes the connection. */
function startRefuser(code: string | undefined, onLogin: () => void) {
  const fields = `SFATAL\0VFATAL\0C${code}\0Mrefused\0\0`;
  const length = Buffer.alloc(4);
  length.writeInt32BE(fields.length + 4);
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        onLogin();
        if (code !== undefined) socket.write(`E${length.toString("latin1")}${fields}`);
        socket.end();
      },
    },
  });
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}

const setPrice = (tx: Tx) => tx.update(tx.tables.tariffs).set({ priceTiyin: 5 });
const inTransaction = (store: Store) => store.run(setPrice);
const inBatch = (store: Store) =>
  store.batch(async (tx, items: readonly number[]) => {
    await setPrice(tx);
    return items;
  })(1);

const UNAVAILABLE = "Unavailable: the database is unavailable";
const UNKNOWN = "OutcomeUnknown: the transaction may or may not have committed";

describe("write that gets no response before its deadline", () => {
  test.each([
    { to: "login", held: /./s, write: inBatch, outcome: UNAVAILABLE },
    { to: "session settings", held: /isReadOnly/, write: inBatch, outcome: UNAVAILABLE },
    { to: "BEGIN", held: /BEGIN\0/, write: inTransaction, outcome: UNAVAILABLE },
    { to: "statement", held: /UPDATE 1\0/, write: inTransaction, outcome: UNAVAILABLE },
    { to: "COMMIT", held: /COMMIT\0/, write: inTransaction, outcome: UNKNOWN },
    { to: "statement that commits", held: /UPDATE 1\0/, write: inBatch, outcome: UNKNOWN },
  ])("fails if the response to $to is missing: $outcome", async ({ held, write, outcome }) => {
    if (server === undefined) return skip(NO_POSTGRES);
    await using far = await openBehindProxy(server.port, SHORT_MS, realClock);
    let isHeld = false;
    far.network.judge = (data) => {
      isHeld ||= held.test(data);
      return isHeld ? "hold" : "pass";
    };
    let refused = "";
    do {
      refused = await refusal(write(far.store));
      // On a busy machine the deadline may pass before the test reaches the response it withholds.
    } while (!isHeld && refused !== outcome);
    expect(refused).toBe(outcome);
  });
});

describe("write without a connection", () => {
  test.each([
    { why: "wrong password", code: "28P01" },
    { why: "role may not log in", code: "28000" },
    { why: "too many connections", code: "53300" },
    { why: "server is starting up", code: "57P03" },
    { why: "no such database", code: "3D000" },
    { why: "database takes no connections", code: "55000" },
    { why: "PgBouncer has no server", code: "08P01" },
    { why: "role may not use the database", code: "42501" },
  ])("fails with Unavailable and the cause: $why", async ({ code }) => {
    if (server === undefined) return skip(NO_POSTGRES);
    let nowMs = 0;
    await using far = await openBehindProxy(server.port, BUSY_MACHINE_MS, () => nowMs);
    // The clock advances at each login, so there is one attempt.
    using refuser = startRefuser(code, () => void (nowMs += BUSY_MACHINE_MS));
    far.network.port = refuser.port;
    for (const write of [inTransaction, inBatch]) {
      const error = await write(far.store).catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        name: "Unavailable",
        cause: { message: `PostgreSQL error ${code}: refused` },
      });
    }
  });

  test("fails with Unavailable if the connection is refused or closed at login", async () => {
    if (server === undefined) return skip(NO_POSTGRES);
    await using far = await openBehindProxy(server.port, SHORT_MS, realClock);
    using refuser = startRefuser(undefined, () => {});
    for (const port of [refuser.port, freePort()]) {
      far.network.port = port;
      for (const write of [inTransaction, inBatch]) {
        expect(await refusal(write(far.store))).toMatch(/^Unavailable: /);
      }
    }
  });
});

test("write to a read-only server is not sent, and connecting is retried with backoff", async () => {
  if (server === undefined) return skip(NO_POSTGRES);
  await using far = await openBehindProxy(server.port, 5 * SHORT_MS, realClock);
  const name = new URL(url).pathname.slice(1);
  await execute(url, `ALTER DATABASE ${name} SET default_transaction_read_only = on`);
  let [logins, refusals] = [0, 0];
  far.network.judge = (data) => {
    if (data.includes("server_version")) logins += 1;
    if (data.includes("C25006\0")) refusals += 1;
    return "pass";
  };
  try {
    expect(await refusal(inBatch(far.store))).toMatch(/^Unavailable: /);
  } finally {
    await execute(
      server.urlOf("postgres"),
      `ALTER DATABASE ${name} RESET default_transaction_read_only`,
    );
  }
  expect(refusals).toBe(0);
  // Attempts at 0, 100, 300 and 700 ms; without backoff there would be twice as many by 750 ms.
  expect(logins).toBeLessThanOrEqual(5);
});
