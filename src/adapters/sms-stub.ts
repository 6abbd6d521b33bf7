import type { Log } from "../log.ts";
import type { SmsSender } from "../ports.ts";

/** An SMS gateway that accepts everything and sends nothing. The log masks the number. */
export function createSmsStub(log: Log): SmsSender {
  return {
    async sendCode(phoneNumber) {
      log.info(`[STUB-SMS] Sending code to ${phoneNumber}...`);
    },
  };
}
