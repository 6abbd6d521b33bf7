import type { Ask, Oracle, Request as Sent } from "./oracle.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

export const TARIFFS = ["standard_300", "express"] as const;

/** The price in the first migration. */
export const FIRST_PRICE_TIYIN = 30_000;

/** Unanswered clients retry within this time. */
export const LONGEST_ABSENCE_MS = 1500;

/** The share of clients that retry after this status: some lose the response, some must retry. */
const RETRIES = new Map([
  [202, 0.5],
  [503, 0.8],
]);
const OTHER_RETRIES = 0.1;

const RETRIES_WITHOUT_ANSWER = 0.6;

/** The service as seen by clients. A dead server never answers. */
export interface Server {
  readonly alive: boolean;
  /** Undefined until the service listens. */
  readonly handle: ((request: Request) => Promise<Response>) | undefined;
}

export interface ClientParts {
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly oracle: Oracle;
  readonly plan: Plan;
  readonly server: () => Server;
  readonly isHealthy: () => boolean;
  readonly trace: (event: string) => void;
  readonly onRequest: () => void;
  readonly onAnswer: (isReplayed: boolean) => void;
}

/** Returns the simulated customers and owner. */
export function createClients(parts: ClientParts) {
  const { random, scheduler, oracle, plan, server, isHealthy, trace, onRequest, onAnswer } = parts;

  const inFlight = new Set<Sent>();
  const users: number[] = [];
  const orders: (Ask & { kind: "order" })[] = [];
  let lastPriceTiyin = FIRST_PRICE_TIYIN;

  /** Sends a random request: often an earlier one, and often several times. */
  function act() {
    const kind = random.random();
    if (kind < 0.1) return register(random.integer(1, plan.users));
    if (kind < 0.2) return changePrice();
    if (kind < 0.35) return look();
    const userId = users[random.integer(0, users.length - 1)];
    if (userId === undefined) return;
    const ask = orders[random.integer(0, orders.length * 2)] ?? {
      kind: "order" as const,
      userId,
      tariff: random.pick(TARIFFS),
      key: random.happens(0.5) ? `key-${random.integer(1, 5)}` : null,
    };
    orders.push(ask);
    const taps = random.pick([1, 1, 2, 3]);
    for (let tap = 0; tap < taps; tap++) sendLater(random.pick([0, 0, 20]), ask);
  }

  function register(user: number) {
    sendLater(0, { kind: "register", phoneNumber: `+99890123456${user}` });
  }

  function look() {
    sendLater(0, { kind: "look", orderId: random.integer(1, oracle.orders().size + 1) });
  }

  /** Changes one price at a time, to a new value, so that the oracle knows the valid prices. */
  function changePrice() {
    if (Array.from(inFlight).some(({ ask }) => ask.kind === "price")) return;
    send({ kind: "price", tariff: random.pick(TARIFFS), priceTiyin: ++lastPriceTiyin });
  }

  function sendLater(delayMs: number, ask: Ask) {
    scheduler.after(delayMs, `client: ${JSON.stringify(ask)}`, () => send(ask));
  }

  function send(ask: Ask) {
    const { alive, handle } = server();
    if (!alive || handle === undefined) return retryUnanswered(ask);
    const sent = oracle.sent(ask);
    inFlight.add(sent);
    onRequest();
    receive(server(), sent, handle(toRequest(ask))).catch((fault) =>
      oracle.reportViolation(`${JSON.stringify(ask)} has no answer: ${Bun.inspect(fault)}`),
    );
  }

  async function receive(from: Server, sent: Sent, answer: Promise<Response>) {
    const { status, headers, ...response } = await read(await answer);
    if (!from.alive) return;
    inFlight.delete(sent);
    const { ask } = sent;
    trace(`${JSON.stringify(ask)} -> ${status} ${JSON.stringify(response.body)}`);
    const isReplayed = headers.has("idempotent-replayed");
    oracle.answered(sent, { status, body: response.body, isReplayed });
    if (ask.kind === "register" && status === 200) users.push(Number(response.body["user_id"]));
    onAnswer(isReplayed);
    if (isHealthy() || ask.kind === "price") return;
    if (!random.happens(RETRIES.get(status) ?? OTHER_RETRIES)) return;
    sendLater(random.pick([0, 30, 1000]), ask);
  }

  /** Retries some requests that got no answer. */
  function retryUnanswered(ask: Ask) {
    if (ask.kind === "price") return;
    const isNeeded = ask.kind === "register";
    if (!isNeeded && (isHealthy() || !random.happens(RETRIES_WITHOUT_ANSWER))) return;
    sendLater(random.pick([50, LONGEST_ABSENCE_MS]), ask);
  }

  return {
    act,
    register,
    /** Repeats every order that has a key, since keys never expire. */
    repeatAll() {
      for (const ask of new Set(orders)) if (ask.key !== null) sendLater(0, ask);
    },
    /** Drops all requests in flight, because the server has died. */
    cutOff() {
      const asks = Array.from(inFlight, ({ ask }) => ask);
      inFlight.clear();
      asks.forEach(retryUnanswered);
    },
    /** Returns the number of requests in flight. */
    waiting: () => inFlight.size,
  };
}

async function read(response: Response) {
  const { status, headers } = response;
  // `as`: every response body in the contract is an object.
  const body = (await response.json()) as Readonly<Record<string, unknown>>;
  return { status, headers, body };
}

function toRequest(ask: Ask): Request {
  switch (ask.kind) {
    case "register":
      return request("POST", "/register", { phone_number: ask.phoneNumber });
    case "price":
      return request("PUT", `/tariffs/${ask.tariff}`, {
        title: ask.tariff,
        price_tiyin: ask.priceTiyin,
      });
    case "look":
      return request("GET", `/orders/${ask.orderId}`);
    case "order":
      return request(
        "POST",
        "/create_order",
        { user_id: ask.userId, tariff_code: ask.tariff },
        ask.key,
      );
  }
}

function request(method: string, path: string, body?: object, key: string | null = null): Request {
  const text = JSON.stringify(body);
  return new Request(`http://localhost${path}`, {
    method,
    headers: {
      host: "localhost",
      ...(text !== undefined && {
        "content-type": "application/json",
        "content-length": String(text.length),
      }),
      ...(key !== null && { "idempotency-key": key }),
    },
    ...(text !== undefined && { body: text }),
  });
}
