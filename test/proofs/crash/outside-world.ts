import { appendFileSync } from "node:fs";
import { createRandom, seedOf } from "../../support/random.ts";
import { type Entry, readLedger } from "./ledger.ts";

// The provider and the dispatcher, played by a process of its own that nobody kills. What they have
// done stands in a ledger on disk. Arguments: the ledger's path, a seed for its luck, the share of calls
// that go wrong, the share of orders that are declined, and how long each charge takes at least, in ms.

const ledger = process.argv[2] ?? "";
const [seed = 0, faultRate = 0, declineRate = 0, chargeMs = 0] = process.argv.slice(3).map(Number);

function note(entry: Entry) {
  appendFileSync(ledger, `${JSON.stringify(entry)}\n`);
}

// A provider answers the same key with the same outcome, whatever becomes of its own process.
const outcomes = new Map<string, "paid" | "declined">();
for (const entry of readLedger(ledger)) {
  if ("paymentKey" in entry) outcomes.set(entry.paymentKey, entry.kind);
}
note({ kind: "begun" });

/** Each order has a luck of its own, whatever comes to the others in between. */
const lucks = new Map<number, () => number>();

function luckOf(orderId: number): () => number {
  let random = lucks.get(orderId);
  if (random === undefined) {
    random = createRandom(seedOf(`order ${orderId}`, seed));
    lucks.set(orderId, random);
  }
  return random;
}

function charge(paymentKey: string, orderId: number) {
  const known = outcomes.get(paymentKey);
  if (known !== undefined) return known;
  const kind = luckOf(orderId)() < declineRate ? "declined" : "paid";
  outcomes.set(paymentKey, kind);
  note({ kind, paymentKey, orderId });
  return kind;
}

const forever = new Promise<never>(() => {});

/** Does `work`, unless it goes wrong: before the work, after it, or by never answering. */
async function unreliably(orderId: number, work: () => string): Promise<Response> {
  const random = luckOf(orderId);
  const luck = random() / faultRate;
  if (luck < 1 / 3) return new Response("error before", { status: 502 });
  if (luck < 2 / 3) {
    work();
    return new Response("error after", { status: 500 });
  }
  if (luck < 1) {
    if (luck < 5 / 6) work();
    return forever;
  }
  if (random() < 0.1) await Bun.sleep(random() * 50);
  return new Response(work());
}

let lastCall = 0;

/** Notes when the call begins and when it ends. */
async function witness(request: Request, orderId: number, answer: () => Promise<Response>) {
  const call = ++lastCall;
  let isOver = false;
  const end = () => {
    if (!isOver) note({ kind: "ended", orderId, call });
    isOver = true;
  };
  note({ kind: "asked", orderId, call });
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
      // `as`: the victim sends a charge, and nothing else does.
      const { paymentKey, orderId } = (await request.json()) as {
        paymentKey: string;
        orderId: number;
      };
      const answer = () => unreliably(orderId, () => charge(paymentKey, orderId));
      return witness(request, orderId, answer);
    },
    "/notify/:orderId": (request) => {
      const orderId = Number(request.params.orderId);
      return unreliably(orderId, () => {
        note({ kind: "notified", orderId });
        return "heard";
      });
    },
  },
});
console.log(server.url.origin);
