import type { Log } from "../log.ts";
import type { DispatcherNotifier } from "../ports.ts";

/** Creates a stub that notifies the dispatcher by a log line. */
export function createDispatcherStub(log: Log): DispatcherNotifier {
  return {
    async notify({ orderId }) {
      log.info(`[STUB-NOTIFY] Dispatcher notified about Order #${orderId}`);
    },
  };
}
