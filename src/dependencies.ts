import type { Config } from "./config.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type {
  Clock,
  DispatcherNotifier,
  PaymentGateway,
  SmsSender,
  WebhookSender,
} from "./ports.ts";
import type { Store } from "./store/store.ts";

/** Everything the service needs from outside: data, adapters, clock, randomness, settings. */
export interface Dependencies {
  readonly store: Store;
  readonly sms: SmsSender;
  readonly payment: PaymentGateway;
  readonly dispatcher: DispatcherNotifier;
  /** Null if the bot has no webhook. */
  readonly webhook: WebhookSender | null;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: Clock;
  readonly randomId: () => string;
  readonly config: Config;
}

/** The named dependencies, with only the named settings. */
export type Needs<
  Name extends Exclude<keyof Dependencies, "config">,
  Setting extends keyof Config = never,
> = Pick<Dependencies, Name> & { readonly config: Pick<Config, Setting> };
