import { appendFileSync } from "node:fs";
import { createRandom, seedOf } from "../../support/random.ts";
import { type Entry, readLedger } from "./ledger.ts";

// Simulates the payment provider and the dispatcher in a process that crash tests do not kill.
// Appends every call to a ledger on disk. Arguments: the ledger's path, the random seed, the share
// of calls that fail, the share of orders that are declined, and the minimum duration of a charge
// in ms.

const ledger = process.argv[2] ?? "";
const [seed = 0, faultRate = 0, declineRate = 0, chargeMs = 0] = process.argv.slice(3).map(Number);

function record(entry: Entry) {
  appendFileSync(ledger, `${JSON.stringify(entry)}\n`);
}

// A payment key keeps its outcome across restarts of the provider.
const outcomes = new Map<string, "paid" | "declined">();
for (const entry of readLedger(ledger)) {
  if ("paymentKey" in entry) outcomes.set(entry.paymentKey, entry.kind);
}
record({ kind: "begun" });

/** A random source per order, so that an order's fate does not depend on the other orders. */
const randoms = new Map<number, () => number>();

function randomOf(orderId: number): () => number {
  let random = randoms.get(orderId);
  if (random === undefined) {
    random = createRandom(seedOf(`order ${orderId}`, seed));
    randoms.set(orderId, random);
  }
  return random;
}

function charge(paymentKey: string, orderId: number) {
  const known = outcomes.get(paymentKey);
  if (known !== undefined) return known;
  const kind = randomOf(orderId)() < declineRate ? "declined" : "paid";
  outcomes.set(paymentKey, kind);
  record({ kind, paymentKey, orderId });
  return kind;
}

const forever = new Promise<never>(() => {});

/** Does `work` and answers. May instead fail before or after the work, or never answer. */
async function unreliably(orderId: number, work: () => string): Promise<Response> {
  const random = randomOf(orderId);
  const draw = random() / faultRate;
  if (draw < 1 / 3) return new Response("error before", { status: 502 });
  if (draw < 2 / 3) {
    work();
    return new Response("error after", { status: 500 });
  }
  if (draw < 1) {
    if (draw < 5 / 6) work();
    return forever;
  }
  if (random() < 0.1) await Bun.sleep(random() * 50);
  return new Response(work());
}

let lastCall = 0;

/** Records the beginning and the end of a charge. */
async function recordCall(request: Request, orderId: number, answer: () => Promise<Response>) {
  const call = ++lastCall;
  let hasEnded = false;
  const end = () => {
    if (!hasEnded) record({ kind: "ended", orderId, call });
    hasEnded = true;
  };
  record({ kind: "asked", orderId, call });
  request.signal.addEventListener("abort", end);
  if (chargeMs > 0) await Bun.sleep(chargeMs);
  const response = await answer();
  end();
  return response;
}

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  routes: {
    "/charge": async (request) => {
      // `as`: only service-under-test.ts sends requests here.
      const { paymentKey, orderId } = (await request.json()) as {
        paymentKey: string;
        orderId: number;
      };
      const answer = () => unreliably(orderId, () => charge(paymentKey, orderId));
      return recordCall(request, orderId, answer);
    },
    "/notify/:orderId": (request) => {
      const orderId = Number(request.params.orderId);
      return unreliably(orderId, () => {
        record({ kind: "notified", orderId });
        return "notified";
      });
    },
  },
});
console.log(server.url.origin);
