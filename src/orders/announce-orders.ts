import { withDeadline } from "../deadline.ts";
import type { Log } from "../log.ts";
import type { DispatcherNotifier } from "../ports.ts";
import type { Store } from "../store/store.ts";
import { markAnnounced } from "./order-records.ts";

/** A dispatcher's system that takes longer has most likely not heard. */
const NOTIFY_TIMEOUT_MS = 5000;

export interface AnnounceParts {
  readonly store: Store;
  readonly dispatcher: DispatcherNotifier;
  readonly log: Log;
  readonly now: () => number;
}

/** Tells the dispatcher of a paid order; if that fails, the order stays due. */
export async function announceOrder(
  { store, dispatcher, log, now }: AnnounceParts,
  orderId: number,
): Promise<void> {
  try {
    await withDeadline(NOTIFY_TIMEOUT_MS, (signal) => dispatcher.notify(orderId, signal));
    await store.run((tx) => markAnnounced(tx, orderId, now()));
  } catch (fault) {
    log.warn(`The dispatcher was not told of order ${orderId}.`, fault);
  }
}
