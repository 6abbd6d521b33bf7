import type { CallOptions } from "./lib/with-timeout.ts";

// Interfaces to external systems. Adapters implement them.

/** Returns the time in ms since 1970, UTC. */
export type Clock = () => number;

/** Options of `fetch`. Bun's types lack `decompress`. */
export interface FetchInit extends RequestInit {
  readonly decompress?: boolean;
}

/** Sends a request, like the platform's `fetch`. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

/** A charge by the payment provider, identified by `paymentKey`. */
export interface Charge {
  readonly paymentKey: string;
  readonly orderId: number;
  readonly amountTiyin: number;
  /** The customer's phone number, E.164. */
  readonly payer: string;
}

/** `paid`: the money was taken. `declined`: it was not, and will not be. Both are final. */
export type ChargeOutcome = "paid" | "declined";

export interface PaymentGateway {
  /**
   * Takes the money once per `paymentKey`, however often it is called, and returns the same outcome
   * each time. Rejects, or never settles, if the outcome is uncertain: the order is then in doubt,
   * and the charge is retried later. The signal aborts if the caller no longer waits. It does not
   * cancel the charge.
   */
  charge(charge: Charge, options: CallOptions): Promise<ChargeOutcome>;
}

export interface SmsSender {
  /**
   * Passes a code for this E.164 number to the gateway. Resolves if it is accepted, not delivered.
   */
  sendCode(phoneNumber: string, options: CallOptions): Promise<void>;
}

/** A change to an order. */
export interface WebhookEvent {
  readonly eventId: number;
  readonly type: "order.stage_changed" | "order.refunded" | "order.settled";
  /** In ms since 1970. */
  readonly at: number;
  /** The order as the API returns it now, without a phone number. */
  readonly data: object;
}

export interface WebhookSender {
  /** Sends an event to the bot, perhaps more than once. Resolves if the bot has accepted it. */
  send(event: WebhookEvent, options: CallOptions): Promise<void>;
}

/** The order data in a notification. It contains neither customer nor address. */
export interface PaidOrder {
  readonly orderId: number;
  readonly amountTiyin: number;
  readonly tariffTitle: string;
  /** In ms since 1970. */
  readonly paidAt: number;
}

/** Nothing was sent: the recipient accepts no calls for the next `pauseMs`, at most an hour. */
export class Postponed extends Error {
  override readonly name = "Postponed";

  constructor(
    message: string,
    readonly pauseMs: number,
  ) {
    super(message);
  }
}

export interface DispatcherNotifier {
  /** Whether calls must not overlap. */
  readonly isSerial?: true;
  /**
   * Notifies the dispatcher of a paid order, perhaps more than once; `orderId` identifies repeats.
   * Rejects with `Postponed` if the order must wait, which does not count as a failed attempt.
   */
  notify(order: PaidOrder, options: CallOptions): Promise<void>;
}
