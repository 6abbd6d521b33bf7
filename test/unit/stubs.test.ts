import { expect, test } from "bun:test";
import { createPaymentStub } from "../../src/adapters/stubs.ts";
import { createLog } from "../../src/log.ts";

test.each([
  [1, "0.01"],
  [100, "1"],
  [30_000, "300"],
  [30_050, "300.50"],
  [10_000_000_000_000, "100000000000"],
  [Number.MAX_SAFE_INTEGER, "90071992547409.91"],
])("the payment stub prints %d tiyin as %s sum", async (amountTiyin, sum) => {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const stub = createPaymentStub(createLog({ level: "info", json: false, write, now: () => 0 }), 0);
  const { signal } = new AbortController();
  await stub.charge(
    { orderId: 1, paymentKey: "p", payer: "+998901234567", amountTiyin },
    { signal },
  );
  expect(lines).toEqual([`[STUB-PAYMENT] Processing payment of ${sum} sum...`]);
});
