import type { Charge, ChargeOutcome } from "../../../src/ports.ts";
import type { CallOptions } from "../../../src/lib/with-timeout.ts";

/** A row of the table `orders`. */
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

/** The content of a client's request. */
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

/** A request in flight, with the state of the world when it was sent. */
export interface Request {
  readonly ask: Ask;
  readonly sentAt: number;
  readonly sentMs: number;
  readonly committed: ReadonlyMap<number, Row>;
  readonly windowExpired: (order: Row) => boolean;
}

/** A charge that the provider was asked for. */
interface Call {
  readonly options: CallOptions;
  answer?: unknown;
  inTime?: boolean;
}

/** Statuses that the contract allows for these requests. */
const STATUSES = {
  register: [200, 503],
  price: [200, 503],
  look: [200, 404, 503],
  order: [200, 202, 402, 422, 503],
} as const;

/** Tolerance of a request's duration, beyond the payment timeout plus 1 % for shared deadlines. */
const MOMENT_MS = 10;

export interface OracleParts {
  readonly paymentTimeoutMs: number;
  readonly repeatWindowMs: number;
  /** Whether the provider contradicts itself, so that its ledger need not match the orders. */
  readonly flips: boolean;
  /** Milliseconds since the start of the simulation. */
  readonly nowMs: () => number;
  /** The adjustable wall clock. */
  readonly clock: () => number;
}

export type Oracle = ReturnType<typeof createOracle>;

/** Watches the clients, the database and the outside world, and collects broken promises. */
export function createOracle(parts: OracleParts) {
  const { paymentTimeoutMs, repeatWindowMs, flips, nowMs, clock } = parts;
  const violations: string[] = [];
  /** The message is a function because formatting every message would be slow. */
  const expect = (holds: boolean, violation: () => string) =>
    void (holds || violations.push(violation()));

  /** The committed orders. */
  let committed: ReadonlyMap<number, Row> = new Map();
  const userIds = new Map<string, unknown>();
  /** The valid prices of each tariff: several while a change is in flight or its answer was lost. */
  const prices = new Map<string, Set<number>>();
  /** By payment key. */
  const ledger = new Map<string, Charge & { readonly outcome: ChargeOutcome }>();
  const notifiedOrders = new Set<number>();
  /**
   * The charges of each order by the current process. The first is usually that of the request, but
   * if the clock is set back just after the order's insert, the worker may take the lease first.
   */
  const charging = new Map<number, Call[]>();
  /** Orders inserted by the current process. */
  const ownOrders = new Set<number>();
  /** Orders whose creating request has received a final answer. */
  const answeredOrders = new Set<number>();
  /** Requests answered with 202, with the moment when each was sent. */
  const doubts: { readonly orderId: number; readonly sentAt: number }[] = [];

  let moments = 0;
  /** Counts of the latest instant only: refusals follow failed COMMITs at the same instant. */
  let faults = { atMs: -1, commits: 0, refusals: 0 };
  /** Orders answered with 202 although the provider had answered in time. */
  const falseDoubts = new Set<number>();

  /** Called after each COMMIT with all orders. */
  function commit(rows: readonly Row[]) {
    const before = committed;
    committed = new Map(rows.map((row) => [row.id, row]));
    for (const old of before.values()) {
      const row = committed.get(old.id);
      const holds = row !== undefined && isValidTransition(old, row);
      expect(holds, () => `${text(old)} became ${text(row)}`);
    }
    for (const row of rows) if (!before.has(row.id)) checkNew(row, rows);
  }

  /** Called on start with all orders: they must be exactly the committed ones. */
  function reopened(rows: readonly Row[]) {
    const found = JSON.stringify(rows);
    const expected = JSON.stringify(Array.from(committed.values()));
    expect(found === expected, () => `found ${found} on start, but ${expected} was committed`);
  }

  function isValidTransition(old: Row, row: Row): boolean {
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
    expect(row.status === "pending", () => `${text(row)} was inserted as not pending`);
    expect(
      prices.get(row.tariff_code)?.has(row.amount_tiyin) === true,
      () => `${text(row)} has an amount that is not a price valid at the time`,
    );
    const earlier = rows.findLast(
      (other) =>
        other.id < row.id &&
        other.user_id === row.user_id &&
        other.idempotency_key === row.idempotency_key &&
        (row.idempotency_key !== null || other.tariff_code === row.tariff_code),
    );
    if (earlier === undefined) return;
    const mayBeNewOrder =
      row.idempotency_key === null &&
      (repeatWindowMs === 0 ||
        earlier.status === "declined" ||
        (earlier.status === "paid" && windowExpired(earlier, row.created_at)));
    expect(mayBeNewOrder, () => `${text(row)} is a new order but should repeat ${text(earlier)}`);
  }

  const windowExpired = (order: Row, at: number) =>
    Math.abs(at - order.created_at) >= repeatWindowMs;

  function sent(ask: Ask): Request {
    if (ask.kind === "price") prices.get(ask.tariff)?.add(ask.priceTiyin);
    const atMs = clock();
    return {
      ask,
      sentAt: ++moments,
      sentMs: nowMs(),
      committed,
      windowExpired: (order) =>
        windowExpired(order, atMs) && windowExpired(order, clock()) && clock() >= atMs,
    };
  }

  function answered(request: Request, answer: Answer) {
    const { ask, sentMs } = request;
    const { status, body } = answer;
    const what = () => `${JSON.stringify(ask)}, answered ${status} ${JSON.stringify(body)}`;
    const statuses: readonly number[] = STATUSES[ask.kind];
    expect(statuses.includes(status), () => `${what()}: status not in the contract`);
    const longestMs = paymentTimeoutMs + Math.ceil(paymentTimeoutMs / 100) + MOMENT_MS;
    expect(nowMs() - sentMs <= longestMs, () => `${what()} after ${nowMs() - sentMs} ms`);
    if (status === 503) refused(what);
    if (ask.kind === "register" && status === 200) {
      const userId = userIds.get(ask.phoneNumber) ?? body["user_id"];
      expect(body["user_id"] === userId, () => `${what()}: this number was user ${userId} before`);
      userIds.set(ask.phoneNumber, userId);
    }
    if (ask.kind === "price") checkPrice(ask, status);
    if (ask.kind === "look") checkLook(request, answer, what);
    if (ask.kind === "order") checkOrder(request, ask, answer, what);
  }

  function checkPrice(ask: Ask & { kind: "price" }, status: number) {
    if (status === 200) prices.set(ask.tariff, new Set([ask.priceTiyin]));
    // Refused: no later order may have this price.
    else prices.get(ask.tariff)?.delete(ask.priceTiyin);
  }

  function checkLook(
    { ask, committed: before }: Request,
    { status, body }: Answer,
    what: () => string,
  ) {
    if (ask.kind !== "look" || status === 503) return;
    const [was, is] = [before.get(ask.orderId), committed.get(ask.orderId)];
    if (status === 404) return expect(was === undefined, () => `${what()}, but it exists`);
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
      return expect(ask.key !== null && taken, () => `${what()}, but the key is not taken`);
    }
    if (status !== 200 && status !== 202 && status !== 402) return;
    const orderId = Number(body["order_id"]);
    const [was, is] = [request.committed.get(orderId), committed.get(orderId)];
    if (is === undefined) return expect(false, () => `${what()}: order is not committed`);
    const matches =
      is.user_id === ask.userId && is.tariff_code === ask.tariff && is.idempotency_key === ask.key;
    expect(matches, () => `${what()}: it is ${text(is)}`);
    if (ask.key === null && was !== undefined) {
      const mayRepeat =
        repeatWindowMs > 0 &&
        was.status !== "declined" &&
        !(was.status === "paid" && request.windowExpired(was));
      expect(mayRepeat, () => `${what()}: must not repeat ${text(was)}`);
    }
    if (status === 202) return checkDoubt(request, orderId, was, what);
    expect(
      is.status === (status === 200 ? "paid" : "declined"),
      () => `${what()}: it is ${text(is)}`,
    );
    if (isReplayed) return;
    const isEarly = doubts.some((one) => one.orderId === orderId && one.sentAt > request.sentAt);
    expect(!isEarly, () => `${what()}: a repeat got 202 instead of waiting for this answer`);
    expect(
      !answeredOrders.has(orderId),
      () => `${what()}: another request already got this answer without being a repeat`,
    );
    answeredOrders.add(orderId);
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
    const ended = charging
      .get(orderId)
      ?.find((call) => "answer" in call || call.options.signal.aborted);
    expect(ended !== undefined, () => `${what()}: the payment is in progress`);
    const isKnown = ended?.answer === "paid" || ended?.answer === "declined";
    if (!isKnown || ended?.inTime !== true || flips || falseDoubts.has(orderId)) return;
    falseDoubts.add(orderId);
    refused(what);
  }

  /** A failed COMMIT may refuse at most one request: a failed batch is retried item by item. */
  function refused(what: () => string) {
    if (faults.atMs !== nowMs()) faults = { atMs: nowMs(), commits: 0, refusals: 0 };
    faults.refusals += 1;
    const { commits, refusals } = faults;
    expect(
      refusals <= commits,
      () => `${what()}: ${refusals} refusals at this instant, but only ${commits} failed COMMITs`,
    );
  }

  function commitFailed() {
    if (faults.atMs !== nowMs()) faults = { atMs: nowMs(), commits: 0, refusals: 0 };
    faults.commits += 1;
  }

  /** Called when the provider is asked for a charge. The caller must report the answer. */
  function asked(charge: Charge, options: CallOptions) {
    const row = committed.get(charge.orderId);
    const isRight =
      row?.payment_key === charge.paymentKey && row.amount_tiyin === charge.amountTiyin;
    expect(isRight, () => `charge ${JSON.stringify(charge)} does not match ${text(row)}`);
    const call: Call = { options };
    charging.set(charge.orderId, [...(charging.get(charge.orderId) ?? []), call]);
    return {
      answered(answer: unknown) {
        call.answer = answer;
        call.inTime = !options.signal.aborted;
      },
    };
  }

  /** Called when the provider has taken the money or declined. */
  function charged(charge: Charge, outcome: ChargeOutcome) {
    const { orderId, paymentKey } = charge;
    const known = ledger.get(paymentKey);
    const isSame =
      known === undefined ||
      (known.orderId === orderId && known.amountTiyin === charge.amountTiyin);
    expect(isSame, () => `payment key ${paymentKey} is reused for ${JSON.stringify(charge)}`);
    ledger.set(paymentKey, { ...charge, outcome });
    const payments = Array.from(ledger.values()).filter((one) => one.orderId === orderId);
    expect(
      payments.length === 1,
      () => `order ${orderId} was charged with ${payments.length} payment keys`,
    );
  }

  /** Called when the dispatcher has been notified. */
  function notified(orderId: number) {
    notifiedOrders.add(orderId);
    const row = committed.get(orderId);
    expect(row?.status === "paid", () => `the dispatcher was notified of ${text(row)}`);
  }

  /** Checks the final state: all orders must be finished. */
  function close() {
    for (const row of committed.values()) {
      const money = ledger.get(row.payment_key)?.outcome;
      expect(row.due_at === null && row.status !== "pending", () => `${text(row)} never finished`);
      expect(flips || money === row.status, () => `the provider has ${money} for ${text(row)}`);
      expect(
        notifiedOrders.has(row.id) === (row.status === "paid"),
        () => `${text(row)}: notified is ${notifiedOrders.has(row.id)}`,
      );
    }
    for (const { orderId, paymentKey } of ledger.values()) {
      expect(
        committed.get(orderId)?.payment_key === paymentKey,
        () => `payment key ${paymentKey} belongs to no order`,
      );
    }
  }

  return {
    violations,
    reportViolation: (what: string) => void violations.push(what),
    orders: () => committed,
    charges: () => Array.from(ledger.values()).filter(({ outcome }) => outcome === "paid").length,
    isDone: () => Array.from(committed.values()).every((row) => row.due_at === null),
    tariff: (code: string, priceTiyin: number) => void prices.set(code, new Set([priceTiyin])),
    commit,
    reopened,
    commitFailed,
    processStarts() {
      charging.clear();
      ownOrders.clear();
    },
    sent,
    answered,
    asked,
    charged,
    notified,
    close,
  };
}

function text(row: Row | undefined): string {
  if (row === undefined) return "no order";
  const { id, status, user_id, tariff_code, idempotency_key, amount_tiyin, created_at, due_at } =
    row;
  const key = idempotency_key === null ? "without a key" : `with key ${idempotency_key}`;
  const times = `created at ${created_at}, due at ${due_at}`;
  return `order ${id} (${status}, user ${user_id}, ${tariff_code} ${key}, ${amount_tiyin} tiyin, ${times})`;
}
