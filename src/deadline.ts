/** A stranger did not answer in time. */
export class DeadlineExceeded extends Error {
  override readonly name = "DeadlineExceeded";
}

/** Calls that begin within this share of their time share one timer and one signal. */
const SLOT_SHARE = 0.01;

/** The calls that end together at the latest. */
interface Slot {
  readonly signal: AbortSignal;
  readonly rejects: Set<(reason: unknown) => void>;
}

/** The slot that new calls of a duration join; a timer and a signal for each call cost more than it. */
const openSlots = new Map<number, Slot>();

/**
 * What `call` resolves to, or a rejection with `DeadlineExceeded` after `timeoutMs` and up to a hundredth
 * more, also when the call pays no heed to the signal, which is aborted then.
 */
export function withDeadline<T>(
  timeoutMs: number,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, rejects } = openSlots.get(timeoutMs) ?? openSlot(timeoutMs);
  return new Promise<T>((resolve, reject) => {
    rejects.add(reject);
    const settle = () => rejects.delete(reject);
    Promise.try(call, signal).then(resolve, reject).then(settle);
  });
}

function openSlot(timeoutMs: number): Slot {
  const controller = new AbortController();
  const slot: Slot = { signal: controller.signal, rejects: new Set() };
  openSlots.set(timeoutMs, slot);
  const slotMs = Math.ceil(timeoutMs * SLOT_SHARE);
  setTimeout(() => openSlots.delete(timeoutMs), slotMs).unref();
  setTimeout(() => {
    const exceeded = new DeadlineExceeded(`no answer within ${timeoutMs} ms`);
    for (const reject of slot.rejects) reject(exceeded);
    controller.abort(exceeded);
  }, timeoutMs + slotMs).unref();
  return slot;
}
