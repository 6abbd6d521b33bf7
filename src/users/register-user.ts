import { createDeadline } from "../deadline.ts";
import { createLanes } from "../lanes.ts";
import type { Log } from "../log.ts";
import type { SmsSender } from "../ports.ts";
import type { Settings } from "../settings.ts";
import type { Store } from "../store/store.ts";
import { type PhoneNumber, parsePhoneNumber } from "./phone-number.ts";
import { type UserDraft, upsertUsers } from "./user-records.ts";

/** A gateway that takes longer has most likely lost the message. */
const SMS_TIMEOUT_MS = 5000;

/** SMS on their way to the gateway at a time. */
const SMS_LANES = 64;

export interface UserDeskParts {
  readonly store: Store;
  readonly sms: SmsSender;
  readonly log: Log;
  /** The time in ms since 1970. */
  readonly now: () => number;
  readonly settings: Pick<Settings, "smsCooldownMs">;
}

export interface Registration {
  readonly phoneNumber: string;
  readonly chatId: number | null;
  readonly fullName: string | null;
}

export type RegistrationOutcome =
  | { readonly kind: "registered"; readonly userId: number }
  | { readonly kind: "refused"; readonly code: "invalid_phone_number" };

export interface UserDesk {
  /**
   * Makes or updates the user of this phone number, and sends an SMS unless one was tried within the
   * cooldown. The user is on disk when this resolves; the SMS is not waited for, and may fail.
   */
  registerUser(registration: Registration): Promise<RegistrationOutcome>;
  /** Resolves when no SMS is on its way to the gateway. */
  idle(): Promise<void>;
}

/** Where users are registered. */
export function createUserDesk({ store, sms, log, now, settings }: UserDeskParts): UserDesk {
  const upsert = store.grouped((tx, drafts: readonly UserDraft[]) =>
    upsertUsers(tx, drafts, now(), settings.smsCooldownMs),
  );

  async function registerUser(registration: Registration): Promise<RegistrationOutcome> {
    const phoneNumber = parsePhoneNumber(registration.phoneNumber);
    if (phoneNumber === undefined) return { kind: "refused", code: "invalid_phone_number" };
    const { userId, smsDue } = await upsert({ ...registration, phoneNumber });
    if (smsDue && !lanes.offer(phoneNumber)) {
      log.warn(`Too many SMS are waiting for the gateway: none is sent to ${phoneNumber}.`);
    }
    return { kind: "registered", userId };
  }

  const inTime = createDeadline(SMS_TIMEOUT_MS);

  const lanes = createLanes<PhoneNumber>(
    SMS_LANES,
    (phoneNumber) => phoneNumber,
    async (phoneNumber) => {
      try {
        await inTime((signal) => sms.sendCode(phoneNumber, signal));
      } catch (fault) {
        log.warn(`The SMS to ${phoneNumber} was not accepted.`, fault);
      }
    },
    (fault) => log.error("Sending an SMS has failed.", fault),
  );

  return { registerUser, idle: lanes.idle };
}
