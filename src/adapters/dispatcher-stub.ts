import type { Log } from "../log.ts";
import type { DispatcherNotifier } from "../ports.ts";

/** A dispatcher who hears of orders in the log. */
export function createDispatcherStub(log: Log): DispatcherNotifier {
  return {
    async notify({ orderId }) {
      log.info(`[STUB-NOTIFY] Dispatcher notified about Order #${orderId}`);
    },
  };
}
