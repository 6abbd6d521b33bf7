import { createDeadline } from "../deadline.ts";
import { createLanes, type Lanes } from "../lanes.ts";
import type { Log } from "../log.ts";
import type { SmsSender } from "../ports.ts";
import type { Settings } from "../settings.ts";
import type { Store } from "../store/store.ts";
import { type PhoneNumber, parsePhoneNumber } from "./phone-number.ts";
import { upsertUser } from "./user-records.ts";

/** A gateway that takes longer has most likely lost the message. */
const SMS_TIMEOUT_MS = 5000;

/** SMS on their way to the gateway at a time. */
const SMS_LANES = 64;

export interface RegisterParts {
  readonly store: Store;
  readonly smsDesk: Lanes<PhoneNumber>;
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

/**
 * Makes or updates the user of this phone number, and sends an SMS unless one was tried within the
 * cooldown. The user is on disk when this resolves; the SMS is not waited for, and may fail.
 */
export async function registerUser(
  parts: RegisterParts,
  registration: Registration,
): Promise<RegistrationOutcome> {
  const phoneNumber = parsePhoneNumber(registration.phoneNumber);
  if (phoneNumber === undefined) return { kind: "refused", code: "invalid_phone_number" };
  const draft = { ...registration, phoneNumber };
  const { userId, smsDue } = await parts.store.run((tx) =>
    upsertUser(tx, draft, parts.now(), parts.settings.smsCooldownMs),
  );
  if (smsDue && !parts.smsDesk.offer(phoneNumber)) {
    parts.log.warn(`Too many SMS are waiting for the gateway: none is sent to ${phoneNumber}.`);
  }
  return { kind: "registered", userId };
}

/** Sends what registrations ask for, beside them: what the gateway does costs no answer anything. */
export function createSmsDesk({ sms, log }: { sms: SmsSender; log: Log }): Lanes<PhoneNumber> {
  const inTime = createDeadline(SMS_TIMEOUT_MS);
  return createLanes<PhoneNumber>(
    SMS_LANES,
    (phoneNumber) => phoneNumber,
    async (phoneNumber) => {
      try {
        await inTime((signal) => sms.sendCode(phoneNumber, signal));
      } catch (fault) {
        log.warn(`The SMS to ${phoneNumber} was not accepted.`, fault);
      }
    },
  );
}
