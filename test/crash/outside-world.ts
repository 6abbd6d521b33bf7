import { appendFileSync } from "node:fs";
import { type Entry, readLedger } from "./ledger.ts";

// The provider and the dispatcher, played by a process of its own that nobody kills. What they have
// done stands in a ledger on disk. Arguments: the ledger's path, and the share of calls that go wrong.

const [ledger = "", faults = "0"] = process.argv.slice(2);
const faultRate = Number(faults);

function note(entry: Entry) {
  appendFileSync(ledger, `${JSON.stringify(entry)}\n`);
}

// A provider answers the same key with the same outcome, whatever becomes of its own process.
const outcomes = new Map<string, "paid" | "declined">();
for (const entry of readLedger(ledger)) {
  if (entry.kind !== "announced") outcomes.set(entry.paymentKey, entry.kind);
}

function charge(paymentKey: string, orderId: number) {
  const known = outcomes.get(paymentKey);
  if (known !== undefined) return known;
  const kind = Math.random() < 0.2 ? "declined" : "paid";
  outcomes.set(paymentKey, kind);
  note({ kind, paymentKey, orderId });
  return kind;
}

const forever = new Promise<never>(() => {});

/** Does `work`, unless it goes wrong: before the work, after it, or by never answering. */
async function unreliably(work: () => string): Promise<Response> {
  const luck = Math.random() / faultRate;
  if (luck < 1 / 3) return new Response("error before", { status: 502 });
  if (luck < 2 / 3) {
    work();
    return new Response("error after", { status: 500 });
  }
  if (luck < 1) {
    if (luck < 5 / 6) work();
    return forever;
  }
  if (Math.random() < 0.1) await Bun.sleep(Math.random() * 50);
  return new Response(work());
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
      return unreliably(() => charge(paymentKey, orderId));
    },
    "/notify/:orderId": (request) =>
      unreliably(() => {
        note({ kind: "announced", orderId: Number(request.params.orderId) });
        return "heard";
      }),
  },
});
console.log(server.url.origin);
