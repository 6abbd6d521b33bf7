import type { Charge, ChargeOutcome } from "../../../src/ports.ts";
import type { CallOptions } from "../../../src/lib/with-timeout.ts";

/** An order as it stands in the database. */
export interface Row {
  readonly id: number;
  readonly user_id: number;
  readonly tariff_code: string;
  readonly amount_tiyin: number;
  readonly status: "pending" | "paid" | "declined";
  readonly idempotency_key: string | null;
  readonly payment_key: string;
  readonly created_at: number;
  readonly settled_at: number | null;
  readonly notified_at: number | null;
  readonly due_at: number | null;
}

/** What a client asks for. */
export type Ask =
  | { readonly kind: "register"; readonly phoneNumber: string }
  | { readonly kind: "price"; readonly tariff: string; readonly priceTiyin: number }
  | { readonly kind: "look"; readonly orderId: number }
  | {
      readonly kind: "order";
      readonly userId: number;
      readonly tariff: string;
      readonly key: string | null;
    };

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly isReplayed: boolean;
}

/** A request on its way, and how the world was when it left. */
export interface Request {
  readonly ask: Ask;
  readonly sentAt: number;
  readonly sentMs: number;
  readonly committed: ReadonlyMap<number, Row>;
  readonly isOver: (order: Row) => boolean;
}

/** The statuses that the contract has for what the clients ask: none is wrong in itself. */
const STATUSES = {
  register: [200, 503],
  price: [200, 503],
  look: [200, 404, 503],
  order: [200, 202, 402, 422, 503],
} as const;

/** What an answer may take beyond the payment's timeout and the hundredth more of a shared deadline. */
const MOMENT_MS = 10;

export interface OracleParts {
  readonly paymentTimeoutMs: number;
  readonly repeatWindowMs: number;
  /** Whether the provider contradicts itself: then its ledger need not agree with the orders. */
  readonly flips: boolean;
  readonly nowMs: () => number;
  /** The clock as it is set. */
  readonly clock: () => number;
}

export type Oracle = ReturnType<typeof createOracle>;

/** Knows the promises, watches everybody, and writes down what breaks one. */
export function createOracle(parts: OracleParts) {
  const { paymentTimeoutMs, repeatWindowMs, flips, nowMs, clock } = parts;
  const wrongs: string[] = [];
  /** Writes down what is wrong, which is put into words only then. */
  const expect = (holds: boolean, wrong: () => string) => void (holds || wrongs.push(wrong()));

  /** What is committed, and stays so whoever dies. */
  let committed: ReadonlyMap<number, Row> = new Map();
  const userIds = new Map<string, unknown>();
  /** The prices that a tariff may have now: several, as long as a change is under way or was lost. */
  const prices = new Map<string, Set<number>>();
  /** By payment key. */
  const ledger = new Map<string, Charge & { readonly outcome: ChargeOutcome }>();
  const told = new Set<number>();
  /** The first question about each order since this process has started. */
  const questions = new Map<number, { options: CallOptions; answer?: unknown; inTime?: boolean }>();
  /** The orders that this process has made. */
  const ownOrders = new Set<number>();
  /** The orders whose makers have had their answer, as far as that is a last one. */
  const madeOrders = new Set<number>();
  /** Who was told that an order is in doubt, by the moment when he had asked. */
  const doubts: { readonly orderId: number; readonly sentAt: number }[] = [];

  let moments = 0;
  /** At the last instant that had any: the retries, and so the refusals, follow at once. */
  let faults = { atMs: -1, commits: 0, refusals: 0 };
  /** Orders that were said to be in doubt although the provider had answered in time. */
  const falseDoubts = new Set<number>();

  /** A transaction was committed, and this is all that there is now. */
  function commit(rows: readonly Row[]) {
    const before = committed;
    committed = new Map(rows.map((row) => [row.id, row]));
    for (const old of before.values()) {
      const row = committed.get(old.id);
      const holds = row !== undefined && mayFollow(old, row);
      expect(holds, () => `${text(old)} has become ${text(row)}`);
    }
    for (const row of rows) if (!before.has(row.id)) checkNew(row, rows);
  }

  /** A process finds this when it starts: all that was committed, and nothing that was refused. */
  function reopened(rows: readonly Row[]) {
    const found = JSON.stringify(rows);
    const expected = JSON.stringify(Array.from(committed.values()));
    expect(found === expected, () => `a start finds ${found}, and committed was ${expected}`);
  }

  function mayFollow(old: Row, row: Row): boolean {
    const kept = [
      "user_id",
      "tariff_code",
      "amount_tiyin",
      "idempotency_key",
      "payment_key",
      "created_at",
    ] as const;
    if (kept.some((column) => old[column] !== row[column])) return false;
    return (
      old.status === "pending" || (old.status === row.status && old.settled_at === row.settled_at)
    );
  }

  function checkNew(row: Row, rows: readonly Row[]) {
    ownOrders.add(row.id);
    expect(row.status === "pending", () => `${text(row)} is not pending at first`);
    expect(
      prices.get(row.tariff_code)?.has(row.amount_tiyin) === true,
      () => `${text(row)} has an amount that is no price of its time`,
    );
    const earlier = rows.findLast(
      (other) =>
        other.id < row.id &&
        other.user_id === row.user_id &&
        other.idempotency_key === row.idempotency_key &&
        (row.idempotency_key !== null || other.tariff_code === row.tariff_code),
    );
    if (earlier === undefined) return;
    const mayComeAgain =
      row.idempotency_key === null &&
      (repeatWindowMs === 0 ||
        earlier.status === "declined" ||
        (earlier.status === "paid" && isOver(earlier, row.created_at)));
    expect(mayComeAgain, () => `${text(row)} repeats ${text(earlier)}, and is an order of its own`);
  }

  const isOver = (order: Row, at: number) => Math.abs(at - order.created_at) >= repeatWindowMs;

  function sent(ask: Ask): Request {
    if (ask.kind === "price") prices.get(ask.tariff)?.add(ask.priceTiyin);
    const atMs = clock();
    return {
      ask,
      sentAt: ++moments,
      sentMs: nowMs(),
      committed,
      isOver: (order) => isOver(order, atMs) && isOver(order, clock()) && clock() >= atMs,
    };
  }

  function answered(request: Request, answer: Answer) {
    const { ask, sentMs } = request;
    const { status, body } = answer;
    const what = () => `${JSON.stringify(ask)}, answered ${status} ${JSON.stringify(body)}`;
    const statuses: readonly number[] = STATUSES[ask.kind];
    expect(statuses.includes(status), () => `${what()}: no such status is promised`);
    const longestMs = paymentTimeoutMs + Math.ceil(paymentTimeoutMs / 100) + MOMENT_MS;
    expect(nowMs() - sentMs <= longestMs, () => `${what()} after ${nowMs() - sentMs} ms`);
    if (status === 503) refused(what);
    if (ask.kind === "register" && status === 200) {
      const userId = userIds.get(ask.phoneNumber) ?? body["user_id"];
      expect(body["user_id"] === userId, () => `${what()}: he was user ${userId}`);
      userIds.set(ask.phoneNumber, userId);
    }
    if (ask.kind === "price") checkPrice(ask, status);
    if (ask.kind === "look") checkLook(request, answer, what);
    if (ask.kind === "order") checkOrder(request, ask, answer, what);
  }

  function checkPrice(ask: Ask & { kind: "price" }, status: number) {
    if (status === 200) prices.set(ask.tariff, new Set([ask.priceTiyin]));
    // Refused is not kept: from now on no order may have this price.
    else prices.get(ask.tariff)?.delete(ask.priceTiyin);
  }

  function checkLook(
    { ask, committed: before }: Request,
    { status, body }: Answer,
    what: () => string,
  ) {
    if (ask.kind !== "look" || status === 503) return;
    const [was, is] = [before.get(ask.orderId), committed.get(ask.orderId)];
    if (status === 404) return expect(was === undefined, () => `${what()}, and there is one`);
    const holds =
      body["status"] === is?.status ||
      (body["status"] === "pending" && was?.status !== "paid" && was?.status !== "declined");
    expect(
      holds && body["amount_tiyin"] === is?.amount_tiyin,
      () => `${what()}, was ${text(was)}, is ${text(is)}`,
    );
  }

  function checkOrder(
    request: Request,
    ask: Ask & { kind: "order" },
    answer: Answer,
    what: () => string,
  ) {
    const { status, body, isReplayed } = answer;
    if (status === 422) {
      const taken = Array.from(committed.values()).some(
        (row) =>
          row.user_id === ask.userId &&
          row.idempotency_key === ask.key &&
          row.tariff_code !== ask.tariff,
      );
      return expect(ask.key !== null && taken, () => `${what()}, and the key is not taken`);
    }
    if (status !== 200 && status !== 202 && status !== 402) return;
    const orderId = Number(body["order_id"]);
    const [was, is] = [request.committed.get(orderId), committed.get(orderId)];
    if (is === undefined) return expect(false, () => `${what()}: the order is not committed`);
    const isHis =
      is.user_id === ask.userId && is.tariff_code === ask.tariff && is.idempotency_key === ask.key;
    expect(isHis, () => `${what()}: it is ${text(is)}`);
    if (ask.key === null && was !== undefined) {
      const mayRepeat =
        repeatWindowMs > 0 &&
        was.status !== "declined" &&
        !(was.status === "paid" && request.isOver(was));
      expect(mayRepeat, () => `${what()}: it repeats ${text(was)}`);
    }
    if (status === 202) return checkDoubt(request, orderId, was, what);
    expect(
      is.status === (status === 200 ? "paid" : "declined"),
      () => `${what()}: it is ${text(is)}`,
    );
    if (isReplayed) return;
    const isEarly = doubts.some((one) => one.orderId === orderId && one.sentAt > request.sentAt);
    expect(!isEarly, () => `${what()}: a repeat did not wait for it, and was told of a doubt`);
    expect(!madeOrders.has(orderId), () => `${what()}: there is another request that has made it`);
    madeOrders.add(orderId);
  }

  function checkDoubt(
    { sentAt }: Request,
    orderId: number,
    was: Row | undefined,
    what: () => string,
  ) {
    expect(
      was === undefined || was.status === "pending",
      () => `${what()}: it was ${text(was)} before`,
    );
    doubts.push({ orderId, sentAt });
    if (!ownOrders.has(orderId)) return;
    const question = questions.get(orderId);
    const isOpen =
      question === undefined || (!("answer" in question) && !question.options.signal.aborted);
    expect(!isOpen, () => `${what()}: it is being paid right now`);
    const isKnown = question?.answer === "paid" || question?.answer === "declined";
    if (!isKnown || question?.inTime !== true || flips || falseDoubts.has(orderId)) return;
    falseDoubts.add(orderId);
    refused(what);
  }

  /** Each COMMIT that fails may refuse one step: of a batch it refuses none, for each is tried alone. */
  function refused(what: () => string) {
    if (faults.atMs !== nowMs()) faults = { atMs: nowMs(), commits: 0, refusals: 0 };
    faults.refusals += 1;
    const { commits, refusals } = faults;
    expect(
      refusals <= commits,
      () => `${what()}: ${refusals} are refused at once, and ${commits} COMMITs failed`,
    );
  }

  function commitFailed() {
    if (faults.atMs !== nowMs()) faults = { atMs: nowMs(), commits: 0, refusals: 0 };
    faults.commits += 1;
  }

  /** The provider is asked for a charge; what it answers is to be told. */
  function asked(charge: Charge, options: CallOptions) {
    const row = committed.get(charge.orderId);
    const isRight =
      row?.payment_key === charge.paymentKey && row.amount_tiyin === charge.amountTiyin;
    expect(isRight, () => `${JSON.stringify(charge)} is asked for, and the order is ${text(row)}`);
    const question: { options: CallOptions; answer?: unknown; inTime?: boolean } = { options };
    if (!questions.has(charge.orderId)) questions.set(charge.orderId, question);
    return {
      answered(answer: unknown) {
        question.answer = answer;
        question.inTime = !options.signal.aborted;
      },
    };
  }

  /** The provider has taken the money, or declined. */
  function charged(charge: Charge, outcome: ChargeOutcome) {
    const { orderId, paymentKey } = charge;
    const known = ledger.get(paymentKey);
    const isSame =
      known === undefined ||
      (known.orderId === orderId && known.amountTiyin === charge.amountTiyin);
    expect(isSame, () => `payment key ${paymentKey} comes again for ${JSON.stringify(charge)}`);
    ledger.set(paymentKey, { ...charge, outcome });
    const payments = Array.from(ledger.values()).filter((one) => one.orderId === orderId);
    expect(
      payments.length === 1,
      () => `order ${orderId} is charged with ${payments.length} payment keys`,
    );
  }

  /** The dispatcher has heard of the order. */
  function hear(orderId: number) {
    told.add(orderId);
    const row = committed.get(orderId);
    expect(row?.status === "paid", () => `the dispatcher is told of ${text(row)}`);
  }

  /** Everything is over: nothing may be left to do. */
  function close() {
    for (const row of committed.values()) {
      const money = ledger.get(row.payment_key)?.outcome;
      expect(row.due_at === null && row.status !== "pending", () => `${text(row)} is never done`);
      expect(flips || money === row.status, () => `the provider says ${money} of ${text(row)}`);
      expect(
        told.has(row.id) === (row.status === "paid"),
        () => `${text(row)}: told is ${told.has(row.id)}`,
      );
    }
    for (const { orderId, paymentKey } of ledger.values()) {
      expect(
        committed.get(orderId)?.payment_key === paymentKey,
        () => `${paymentKey} is of no order`,
      );
    }
  }

  return {
    wrongs,
    wrong: (what: string) => void wrongs.push(what),
    orders: () => committed,
    charges: () => Array.from(ledger.values()).filter(({ outcome }) => outcome === "paid").length,
    isDone: () => Array.from(committed.values()).every((row) => row.due_at === null),
    tariff: (code: string, priceTiyin: number) => void prices.set(code, new Set([priceTiyin])),
    commit,
    reopened,
    commitFailed,
    processStarts() {
      questions.clear();
      ownOrders.clear();
    },
    sent,
    answered,
    asked,
    charged,
    told: hear,
    close,
  };
}

function text(row: Row | undefined): string {
  if (row === undefined) return "no order";
  const { id, status, user_id, tariff_code, idempotency_key, amount_tiyin, created_at, due_at } =
    row;
  const key = idempotency_key === null ? "without a key" : `with key ${idempotency_key}`;
  const times = `made at ${created_at}, due at ${due_at}`;
  return `order ${id} (${status}, user ${user_id}, ${tariff_code} ${key}, ${amount_tiyin} tiyin, ${times})`;
}
