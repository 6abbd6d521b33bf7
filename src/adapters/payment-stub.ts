import { inSum } from "../lib/format.ts";
import type { Log } from "../log.ts";
import type { PaymentGateway } from "../ports.ts";

// Payers with a set fate, so that a client can try every branch by hand.
const DECLINED_PAYER = "+998900000002";
const SILENT_AT_FIRST_PAYER = "+998900000003";

/** A payment provider that takes `delayMs` and no money: all have paid but the payers of a set fate. */
export function createPaymentStub(log: Log, delayMs: number): PaymentGateway {
  const heardOf = new Set<string>();
  return {
    async charge({ paymentKey, amountTiyin, payer }) {
      log.info(`[STUB-PAYMENT] Processing payment of ${inSum(amountTiyin)} sum...`);
      if (delayMs > 0) await Bun.sleep(delayMs);
      if (payer === SILENT_AT_FIRST_PAYER && !heardOf.has(paymentKey)) {
        heardOf.add(paymentKey);
        return new Promise(() => {});
      }
      return payer === DECLINED_PAYER ? "declined" : "paid";
    },
  };
}
