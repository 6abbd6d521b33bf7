import type { Log } from "../log.ts";
import type { PaymentGateway } from "../ports.ts";

// Payers with a set fate, so that a client can try every branch by hand.
const DECLINED_PAYER = "+998900000002";
const SILENT_AT_FIRST_PAYER = "+998900000003";

const TIYIN_PER_SUM = 100;

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

/** The amount as people write it, exact at any size: a fraction of two digits, or none. */
function inSum(amountTiyin: number): string {
  const tiyin = amountTiyin % TIYIN_PER_SUM;
  const sum = (amountTiyin - tiyin) / TIYIN_PER_SUM;
  return tiyin === 0 ? String(sum) : `${sum}.${String(tiyin).padStart(2, "0")}`;
}
