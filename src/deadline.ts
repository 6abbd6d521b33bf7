/** A stranger did not answer in time. */
export class DeadlineExceeded extends Error {
  override readonly name = "DeadlineExceeded";
}

/**
 * What `call` resolves to, or a rejection with `DeadlineExceeded` after `timeoutMs`, also when the call
 * pays no heed to the signal, which is aborted then.
 */
export function withDeadline<T>(
  timeoutMs: number,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const timer = setTimeout(() => {
      const exceeded = new DeadlineExceeded(`no answer within ${timeoutMs} ms`);
      reject(exceeded);
      controller.abort(exceeded);
    }, timeoutMs);
    Promise.try(call, controller.signal)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
