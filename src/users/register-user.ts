import type { Log } from "../log.ts";
import type { Clock, SmsSender } from "../ports.ts";
import { createRateLimit } from "../lib/rate-limit.ts";
import type { Store } from "../store/store.ts";
import { createTaskQueue } from "../lib/task-queue.ts";
import { withTimeout } from "../lib/with-timeout.ts";
import { type PhoneNumber, parsePhoneNumber } from "./phone-number.ts";
import { type UserDraft, upsertUsers } from "./user-queries.ts";

/** A gateway that takes longer has most likely lost the message. */
const SMS_TIMEOUT_MS = 5000;

/** SMS on their way to the gateway at a time. */
const SMS_CONCURRENCY = 64;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** The limits here are for all users together. */
const ALL = "all users";

export interface RegisterDependencies {
  readonly store: Store;
  readonly sms: SmsSender;
  readonly log: Log;
  readonly now: Clock;
  readonly config: { readonly smsCooldownMs: number; readonly smsPerHour: number };
}

export interface Registration {
  readonly phoneNumber: string;
  readonly chatId: number | null;
  readonly fullName: string | null;
}

export type RegistrationOutcome =
  | { readonly kind: "registered"; readonly userId: number }
  | { readonly kind: "rejected"; readonly code: "invalid_phone_number" };

export interface UserService {
  /**
   * Makes or updates the user of this phone number, and sends an SMS unless one was tried within the
   * cooldown, or the hour's SMS are used up. The user is on disk when this resolves; the SMS is not
   * waited for, and may fail.
   */
  registerUser(registration: Registration): Promise<RegistrationOutcome>;
  /** Resolves when no SMS is on its way to the gateway. */
  idle(): Promise<void>;
}

export function createUserService(dependencies: RegisterDependencies): UserService {
  const { store, sms, log, now, config } = dependencies;
  const budget = createRateLimit({ limit: config.smsPerHour, windowMs: HOUR_MS, now });
  const warnings = createRateLimit({ limit: 1, windowMs: MINUTE_MS, now });

  async function registerUser(registration: Registration): Promise<RegistrationOutcome> {
    const phoneNumber = parsePhoneNumber(registration.phoneNumber);
    if (phoneNumber === undefined) return { kind: "rejected", code: "invalid_phone_number" };
    const { userId, smsDue } = await upsert({ ...registration, phoneNumber });
    if (smsDue) sendCode(phoneNumber);
    return { kind: "registered", userId };
  }

  function sendCode(phoneNumber: PhoneNumber) {
    if (!budget.take(ALL)) {
      if (warnings.take(ALL)) {
        log.warn(
          `SMS_PER_HOUR (${config.smsPerHour}) is used up: users are registered without SMS.`,
        );
      }
      return;
    }
    if (!queue.add(phoneNumber)) {
      log.warn(`Too many SMS are waiting for the gateway: none is sent to ${phoneNumber}.`);
    }
  }

  const upsert = store.batch((tx, drafts: readonly UserDraft[]) =>
    upsertUsers(tx, drafts, now(), config.smsCooldownMs),
  );

  const queue = createTaskQueue<PhoneNumber>({
    concurrency: SMS_CONCURRENCY,
    keyOf: (phoneNumber) => phoneNumber,
    async run(phoneNumber) {
      try {
        await withTimeout(SMS_TIMEOUT_MS, (options) => sms.sendCode(phoneNumber, options));
      } catch (error) {
        log.warn(`The SMS to ${phoneNumber} was not accepted.`, error);
      }
    },
    onError: (error) => log.error("Sending an SMS has failed.", error),
  });

  return { registerUser, idle: queue.idle };
}
