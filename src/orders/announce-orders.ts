import { createDeadline } from "../deadline.ts";
import { createLanes } from "../lanes.ts";
import type { DispatcherNotifier } from "../ports.ts";
import { createDuty, type Duty, type DutyParts, LANES } from "./due-orders.ts";
import { markAnnounced } from "./order-records.ts";

/** A dispatcher's system that takes longer has most likely not heard. */
export const NOTIFY_TIMEOUT_MS = 5000;

export interface AnnounceParts extends DutyParts {
  readonly dispatcher: DispatcherNotifier;
}

export interface Announcer extends Duty {
  /** Tells the dispatcher of an order that was paid just now, as soon as possible. */
  announce(orderId: number): void;
}

interface PaidOrder {
  readonly orderId: number;
}

/** Sees to it that the dispatcher is told of every paid order, at least once. */
export function createAnnouncer(parts: AnnounceParts): Announcer {
  const { store, dispatcher, log, now } = parts;

  const inTime = createDeadline(NOTIFY_TIMEOUT_MS);

  const note = store.grouped(async (tx, orderIds: readonly number[]) => {
    await markAnnounced(tx, orderIds, now());
    return orderIds;
  });

  const lanes = createLanes<PaidOrder>(
    LANES,
    ({ orderId }) => orderId,
    tell,
    (fault) => log.error("Announcing an order has failed.", fault),
  );

  function tell({ orderId }: PaidOrder): Promise<unknown> {
    const heard = inTime((signal) => dispatcher.notify(orderId, signal));
    return heard
      .then(() => note(orderId))
      .catch((fault) => {
        log.warn(
          `Telling the dispatcher of order ${orderId} has failed; it is tried again.`,
          fault,
        );
      });
  }

  return {
    ...createDuty(parts, "paid", NOTIFY_TIMEOUT_MS, lanes),
    announce(orderId) {
      // Where it is not taken, it is found when it is due.
      lanes.offer({ orderId });
    },
  };
}
