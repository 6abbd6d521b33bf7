import type { Needs } from "../dependencies.ts";
import { createRateLimit } from "../lib/rate-limit.ts";
import { createTaskQueue } from "../lib/task-queue.ts";
import { withTimeout } from "../lib/with-timeout.ts";
import type { PhoneNumber } from "./phone-number.ts";
import { type UserDraft, upsertUsers } from "./user-queries.ts";

/** If the gateway takes longer, it probably did not receive the message. */
const SMS_TIMEOUT_MS = 5000;

/** Maximum number of concurrent gateway calls. */
const SMS_CONCURRENCY = 64;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Key of rate limits that all users share. */
const ALL_USERS = "all users";

export interface RegisterUser {
  /**
   * Creates or updates the user with this phone number. Sends an SMS unless one was attempted
   * within the cooldown or the hourly limit is reached. Resolves to the user's id once the user is
   * on disk, without waiting for the SMS, which may fail.
   */
  registerUser(draft: UserDraft): Promise<number>;
  /** Resolves when no SMS is queued or being sent. */
  idle(): Promise<void>;
}

export function createRegisterUser(
  dependencies: Needs<"store" | "sms" | "log" | "now", "smsCooldownMs" | "smsPerHour">,
): RegisterUser {
  const { store, sms, log, now, config } = dependencies;
  const hourlyLimit = createRateLimit({ limit: config.smsPerHour, windowMs: HOUR_MS, now });
  const warnings = createRateLimit({ limit: 1, windowMs: MINUTE_MS, now });

  async function registerUser(draft: UserDraft): Promise<number> {
    const { userId, smsDue } = await upsert(draft);
    if (smsDue) sendCode(draft.phoneNumber);
    return userId;
  }

  function sendCode(phoneNumber: PhoneNumber) {
    if (!hourlyLimit.take(ALL_USERS)) {
      if (warnings.take(ALL_USERS)) {
        log.warn(
          `SMS_PER_HOUR (${config.smsPerHour}) is used up; registering users without an SMS.`,
        );
      }
      return;
    }
    if (!queue.add(phoneNumber)) {
      log.warn(`The SMS queue is full; not sending an SMS to ${phoneNumber}.`);
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
    onError: (error) => log.error("Sending an SMS failed unexpectedly.", error),
  });

  return { registerUser, idle: queue.idle };
}
