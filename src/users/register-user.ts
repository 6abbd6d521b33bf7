import type { Log } from "../log.ts";
import type { Clock, SmsSender } from "../ports.ts";
import type { Store } from "../store/store.ts";
import { createTaskQueue } from "../task-queue.ts";
import { withTimeout } from "../with-timeout.ts";
import { type PhoneNumber, parsePhoneNumber } from "./phone-number.ts";
import { type UserDraft, upsertUsers } from "./user-queries.ts";

/** A gateway that takes longer has most likely lost the message. */
const SMS_TIMEOUT_MS = 5000;

/** SMS on their way to the gateway at a time. */
const SMS_CONCURRENCY = 64;

export interface RegisterDependencies {
  readonly store: Store;
  readonly sms: SmsSender;
  readonly log: Log;
  readonly now: Clock;
  readonly config: { readonly smsCooldownMs: number };
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
   * cooldown. The user is on disk when this resolves; the SMS is not waited for, and may fail.
   */
  registerUser(registration: Registration): Promise<RegistrationOutcome>;
  /** Resolves when no SMS is on its way to the gateway. */
  idle(): Promise<void>;
}

export function createUserService(dependencies: RegisterDependencies): UserService {
  const { store, sms, log, now, config } = dependencies;

  async function registerUser(registration: Registration): Promise<RegistrationOutcome> {
    const phoneNumber = parsePhoneNumber(registration.phoneNumber);
    if (phoneNumber === undefined) return { kind: "rejected", code: "invalid_phone_number" };
    const { userId, smsDue } = await upsert({ ...registration, phoneNumber });
    if (smsDue && !queue.add(phoneNumber)) {
      log.warn(`Too many SMS are waiting for the gateway: none is sent to ${phoneNumber}.`);
    }
    return { kind: "registered", userId };
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
