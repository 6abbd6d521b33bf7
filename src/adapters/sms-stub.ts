import type { Log } from "../log.ts";
import type { SmsSender } from "../ports.ts";

/** Creates a stub that logs SMS instead of sending them. The log masks the number. */
export function createSmsStub(log: Log): SmsSender {
  return {
    async sendCode(phoneNumber) {
      log.info(`[STUB-SMS] Sending code to ${phoneNumber}...`);
    },
  };
}
