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

/** Makes a call that may never answer answer in time. */
export type Deadline = <T>(call: (signal: AbortSignal) => Promise<T>) => Promise<T>;

/**
 * A deadline for calls: each resolves to what it resolves to, or rejects with `DeadlineExceeded` after
 * `timeoutMs` and up to a hundredth more, also when it pays no heed to the signal, which is aborted then.
 */
export function createDeadline(timeoutMs: number): Deadline {
  /** What new calls join: a timer and a signal for each of them would cost more than the call. */
  let open: Slot | undefined;

  function openSlot(): Slot {
    const controller = new AbortController();
    const slot: Slot = { signal: controller.signal, rejects: new Set() };
    const slotMs = Math.ceil(timeoutMs * SLOT_SHARE);
    setTimeout(() => {
      open = undefined;
    }, slotMs).unref();
    setTimeout(() => {
      const exceeded = new DeadlineExceeded(`no answer within ${timeoutMs} ms`);
      for (const reject of slot.rejects) reject(exceeded);
      controller.abort(exceeded);
    }, timeoutMs + slotMs).unref();
    return slot;
  }

  return (call) => {
    const { signal, rejects } = (open ??= openSlot());
    return new Promise((resolve, reject) => {
      rejects.add(reject);
      const settle = () => rejects.delete(reject);
      Promise.try(call, signal).then(resolve, reject).then(settle);
    });
  };
}
