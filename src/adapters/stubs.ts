import { inSum } from "../lib/format.ts";
import type { Log } from "../log.ts";
import type { PaymentGateway, DispatcherNotifier, SmsSender } from "../ports.ts";

// Test numbers with a fixed outcome, so that every outcome can be tried by hand.
const DECLINED_PAYER = "+998900000002";
const TIMEOUT_ONCE_PAYER = "+998900000003";

/**
 * Creates a stub that answers "paid" after `delayMs`, except for the test numbers. Charges nothing.
 */
export function createPaymentStub(log: Log, delayMs: number): PaymentGateway {
  const seenKeys = new Set<string>();
  return {
    async charge({ paymentKey, amountTiyin, payer }) {
      log.info(`[STUB-PAYMENT] Processing payment of ${inSum(amountTiyin)} sum...`);
      if (delayMs > 0) await Bun.sleep(delayMs);
      if (payer === TIMEOUT_ONCE_PAYER && !seenKeys.has(paymentKey)) {
        seenKeys.add(paymentKey);
        return new Promise(() => {});
      }
      return payer === DECLINED_PAYER ? "declined" : "paid";
    },
  };
}

/** Creates a stub that logs notifications instead of sending them. */
export function createDispatcherStub(log: Log): DispatcherNotifier {
  return {
    async notify({ orderId }) {
      log.info(`[STUB-NOTIFY] Dispatcher notified about Order #${orderId}`);
    },
  };
}

/** Creates a stub that logs SMS instead of sending them. The log masks the number. */
export function createSmsStub(log: Log): SmsSender {
  return {
    async sendCode(phoneNumber) {
      log.info(`[STUB-SMS] Sending code to ${phoneNumber}...`);
    },
  };
}
