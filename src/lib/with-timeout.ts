/** A call was not answered in time. */
export class TimeoutExceeded extends Error {
  override readonly name = "TimeoutExceeded";
}

/** What a call gets, as `fetch` takes it: the signal aborts when nobody waits for the answer any more. */
export interface CallOptions {
  readonly signal: AbortSignal;
}

/**
 * Resolves or rejects as the call does, but rejects with `TimeoutExceeded` after `timeoutMs`, or as soon
 * as `cutoff` aborts, also where the call ignores its signal.
 */
export function withTimeout<T>(
  timeoutMs: number,
  call: (options: CallOptions) => Promise<T>,
  cutoff?: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let exceeded: TimeoutExceeded | undefined;
    // Few calls read their signal, and a controller costs as much as the timer.
    let controller: AbortController | undefined;
    const options: CallOptions = {
      get signal() {
        controller ??= new AbortController();
        if (exceeded !== undefined) controller.abort(exceeded);
        return controller.signal;
      },
    };
    const expire = () => {
      exceeded = new TimeoutExceeded(`no answer within ${timeoutMs} ms`);
      reject(exceeded);
      controller?.abort(exceeded);
    };
    if (cutoff?.aborted) return expire();
    const timer = setTimeout(expire, timeoutMs);
    cutoff?.addEventListener("abort", expire);
    const settle = () => {
      clearTimeout(timer);
      cutoff?.removeEventListener("abort", expire);
    };
    Promise.try(call, options).then(resolve, reject).then(settle);
  });
}
