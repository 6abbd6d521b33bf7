import type { Ask, Oracle, Request as Sent } from "./oracle.ts";
import type { Plan } from "./plan.ts";
import type { Chance } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

/** What can be ordered from the first. */
export const TARIFFS = ["standard_300", "express"] as const;

/** As the first migration has it. */
export const FIRST_PRICE_TIYIN = 30_000;

/** A client that has no answer comes back within this. */
export const LONGEST_ABSENCE_MS = 1500;

/** How many of those who have this answer ask once more: some never see it, some are told to. */
const RETRIES = new Map([
  [202, 0.5],
  [503, 0.8],
]);
const OTHER_RETRIES = 0.1;

const RETRIES_WITHOUT_ANSWER = 0.6;

/** The service as its clients see it; one that dies gives no answer any more. */
export interface Server {
  readonly alive: boolean;
  /** Answers requests, once it listens. */
  readonly handle: ((request: Request) => Promise<Response>) | undefined;
}

export interface ClientParts {
  readonly chance: Chance;
  readonly scheduler: Scheduler;
  readonly oracle: Oracle;
  readonly plan: Plan;
  readonly server: () => Server;
  readonly isHealthy: () => boolean;
  readonly note: (event: string) => void;
  readonly onRequest: () => void;
  /** A client has an answer. */
  readonly onAnswer: (isReplayed: boolean) => void;
}

/** The customers and the owner. */
export function createClients(parts: ClientParts) {
  const { chance, scheduler, oracle, plan, server, isHealthy, note, onRequest, onAnswer } = parts;

  const underway = new Set<Sent>();
  const users: number[] = [];
  const orders: (Ask & { kind: "order" })[] = [];
  let lastPriceTiyin = FIRST_PRICE_TIYIN;

  /** Something that a client wants, often the same as before, and more than once. */
  function act() {
    const kind = chance.share();
    if (kind < 0.1) return register(chance.whole(1, plan.users));
    if (kind < 0.2) return changePrice();
    if (kind < 0.35) return look();
    const userId = users[chance.whole(0, users.length - 1)];
    if (userId === undefined) return;
    const ask = orders[chance.whole(0, orders.length * 2)] ?? {
      kind: "order" as const,
      userId,
      tariff: chance.pick(TARIFFS),
      key: chance.happens(0.5) ? `key-${chance.whole(1, 5)}` : null,
    };
    orders.push(ask);
    const taps = chance.pick([1, 1, 2, 3]);
    for (let tap = 0; tap < taps; tap++) sendLater(chance.pick([0, 0, 20]), ask);
  }

  function register(user: number) {
    sendLater(0, { kind: "register", phoneNumber: `+99890123456${user}` });
  }

  function look() {
    sendLater(0, { kind: "look", orderId: chance.whole(1, oracle.orders().size + 1) });
  }

  /** One price at a time is changed, to a new one, and never again: so it is known which may hold. */
  function changePrice() {
    if (Array.from(underway).some(({ ask }) => ask.kind === "price")) return;
    send({ kind: "price", tariff: chance.pick(TARIFFS), priceTiyin: ++lastPriceTiyin });
  }

  function sendLater(delayMs: number, ask: Ask) {
    scheduler.after(delayMs, `client: ${JSON.stringify(ask)}`, () => send(ask));
  }

  function send(ask: Ask) {
    const { alive, handle } = server();
    if (!alive || handle === undefined) return giveUp(ask);
    const sent = oracle.sent(ask);
    underway.add(sent);
    onRequest();
    receive(server(), sent, handle(toRequest(ask))).catch((fault) =>
      oracle.wrong(`${JSON.stringify(ask)} has no answer: ${Bun.inspect(fault)}`),
    );
  }

  async function receive(from: Server, sent: Sent, answer: Promise<Response>) {
    const { status, headers, ...response } = await read(await answer);
    if (!from.alive) return;
    underway.delete(sent);
    const { ask } = sent;
    note(`${JSON.stringify(ask)} -> ${status} ${JSON.stringify(response.body)}`);
    const isReplayed = headers.has("idempotent-replayed");
    oracle.answered(sent, { status, body: response.body, isReplayed });
    if (ask.kind === "register" && status === 200) users.push(Number(response.body["user_id"]));
    onAnswer(isReplayed);
    if (isHealthy() || ask.kind === "price") return;
    if (!chance.happens(RETRIES.get(status) ?? OTHER_RETRIES)) return;
    sendLater(chance.pick([0, 30, 1000]), ask);
  }

  /** The client has no answer, and asks once more, or not. */
  function giveUp(ask: Ask) {
    if (ask.kind === "price") return;
    const isNeeded = ask.kind === "register";
    if (!isNeeded && (isHealthy() || !chance.happens(RETRIES_WITHOUT_ANSWER))) return;
    sendLater(chance.pick([50, LONGEST_ABSENCE_MS]), ask);
  }

  return {
    act,
    register,
    /** Asks again for each order that has a key: it is the same for ever. */
    repeatAll() {
      for (const ask of new Set(orders)) if (ask.key !== null) sendLater(0, ask);
    },
    /** The server has died: nobody gets an answer. */
    cutOff() {
      const asks = Array.from(underway, ({ ask }) => ask);
      underway.clear();
      asks.forEach(giveUp);
    },
    /** How many wait for an answer. */
    waiting: () => underway.size,
  };
}

async function read(response: Response) {
  const { status, headers } = response;
  // `as`: an object, as each answer of the contract is.
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
