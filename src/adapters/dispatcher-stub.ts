import type { Log } from "../log.ts";
import type { DispatcherNotifier } from "../ports.ts";

/** Creates a stub that logs notifications instead of sending them. */
export function createDispatcherStub(log: Log): DispatcherNotifier {
  return {
    async notify({ orderId }) {
      log.info(`[STUB-NOTIFY] Dispatcher notified about Order #${orderId}`);
    },
  };
}
