import { createDeadline } from "../deadline.ts";
import { createGroupLanes } from "../lanes.ts";
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

  // In groups, and without an async function for each order: both show in the time that an order takes.
  const lanes = createGroupLanes<PaidOrder>(
    LANES,
    LANES,
    ({ orderId }) => orderId,
    async (orders) => {
      const told: number[] = [];
      await Promise.all(orders.map((order) => tell(order, told)));
      if (told.length === 0) return;
      try {
        await store.run((tx) => markAnnounced(tx, told, now()));
      } catch (fault) {
        log.warn("Noting what the dispatcher was told has failed; it is told again.", fault);
      }
    },
  );

  function tell({ orderId }: PaidOrder, told: number[]): Promise<unknown> {
    return inTime((signal) => dispatcher.notify(orderId, signal)).then(
      () => told.push(orderId),
      (fault) => {
        log.warn(
          `Telling the dispatcher of order ${orderId} has failed; it is tried again.`,
          fault,
        );
      },
    );
  }

  return {
    ...createDuty(parts, "paid", NOTIFY_TIMEOUT_MS, lanes),
    announce(orderId) {
      // Where it is not taken, it is found when it is due.
      lanes.offer({ orderId });
    },
  };
}
