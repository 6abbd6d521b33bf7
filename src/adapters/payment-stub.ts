import type { Log } from "../log.ts";
import type { PaymentGateway } from "../ports.ts";

/** This payer is declined, so that a client can try the branch by hand. */
const DECLINED_PAYER = "+998900000002";

const TIYIN_PER_SUM = 100;

/** A payment provider that takes `delayMs` and no money: everybody has paid, but the set number. */
export function createPaymentStub(log: Log, delayMs: number): PaymentGateway {
  return {
    async charge({ amountTiyin, payer }) {
      log.info(`[STUB-PAYMENT] Processing payment of ${amountTiyin / TIYIN_PER_SUM} sum...`);
      if (delayMs > 0) await Bun.sleep(delayMs);
      return payer === DECLINED_PAYER ? "declined" : "paid";
    },
  };
}
