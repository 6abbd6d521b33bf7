import type { CallOptions } from "./lib/with-timeout.ts";

// The outside world, as the service needs it. An adapter is one implementation of one of these.

/** Tells the time in ms since 1970, UTC. */
export type Clock = () => number;

/** What `fetch` is told; Bun's own types lack `decompress`. */
export interface FetchInit extends RequestInit {
  readonly decompress?: boolean;
}

/** Sends a request over the network, as the platform's own `fetch` does. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

/** A charge that the provider is asked for; the same `paymentKey` is the same charge. */
export interface Charge {
  readonly paymentKey: string;
  readonly orderId: number;
  readonly amountTiyin: number;
  /** The customer's phone number, E.164. */
  readonly payer: string;
}

/** `paid`: the money is taken. `declined`: it is not, and will not be. Neither ever changes. */
export type ChargeOutcome = "paid" | "declined";

export interface PaymentGateway {
  /**
   * Takes the money once for each `paymentKey`, however often it is asked, and answers with the same
   * outcome each time. A provider that can't say for certain what became of the money rejects, or
   * doesn't answer: the order is then in doubt, and the same charge is asked for again later. The
   * signal says that nobody waits for the answer any more; it takes nothing back.
   */
  charge(charge: Charge, options: CallOptions): Promise<ChargeOutcome>;
}

export interface SmsSender {
  /** Hands a code to the gateway for this E.164 number. Resolved means accepted, not delivered. */
  sendCode(phoneNumber: string, options: CallOptions): Promise<void>;
}

/** Something that has become of an order. */
export interface WebhookEvent {
  readonly eventId: number;
  readonly type: "order.stage_changed" | "order.refunded" | "order.settled";
  /** When, in ms. */
  readonly at: number;
  /** The order as clients see it now; no phone number is in it. */
  readonly data: object;
}

export interface WebhookSender {
  /** Tells the bot of an event; may come again for the same `eventId`. Resolved means that the bot has it. */
  send(event: WebhookEvent, options: CallOptions): Promise<void>;
}

/** What a dispatcher hears of an order; who has ordered it, and where, is no part of it. */
export interface PaidOrder {
  readonly orderId: number;
  readonly amountTiyin: number;
  readonly tariffTitle: string;
  /** When, in ms. */
  readonly paidAt: number;
}

/** Nothing was sent: the other side wants no call for the next `pauseMs`, an hour at most. */
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
  /** It takes one call at a time. */
  readonly isSerial?: true;
  /**
   * Notifies of one paid order; may come again for the same `orderId`, which is there to notice it by.
   * Rejects with `Postponed` if the order has to wait; that is not a failed attempt.
   */
  notify(order: PaidOrder, options: CallOptions): Promise<void>;
}
