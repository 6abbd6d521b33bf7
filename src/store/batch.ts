import { type CommitMetrics, NO_COMMIT_METRICS } from "../metrics.ts";
import type { BatchWork, Store } from "./store.ts";

interface Call<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * `Store.batch` on a store's `run`. The group commit has steps share a COMMIT; this has calls share a step,
 * and so one statement. Each tries its own part again one by one: where one mechanism did both, an order
 * cost 7 % more. Where `isOfOneItem` says that a fault is none of the items', none is tried again.
 */
export function createBatch(on: BatchOptions): Store["batch"] {
  return (work) => batchOn(on, work);
}

interface BatchOptions extends Pick<Store, "run"> {
  readonly isOfOneItem?: (fault: unknown) => boolean;
  readonly metrics?: CommitMetrics;
}

function batchOn<Item, Result>(
  { run, isOfOneItem = () => true, metrics = NO_COMMIT_METRICS }: BatchOptions,
  work: BatchWork<Item, Result>,
): (item: Item) => Promise<Result> {
  /** The calls that the next step answers. */
  let open: Call<Item, Result>[] | undefined;

  function begin(): Call<Item, Result>[] {
    const calls: Call<Item, Result>[] = [];
    const close = () => {
      if (open === calls) open = undefined;
    };
    runStep(calls, close).catch((reason) => {
      // A step may fail without having begun: no call may join it after that.
      close();
      for (const call of calls) {
        if (calls.length === 1 || !isOfOneItem(reason)) call.reject(reason);
        else runStep([call]).catch(call.reject);
      }
    });
    return calls;
  }

  async function runStep(calls: readonly Call<Item, Result>[], begun = () => {}): Promise<void> {
    const results = await run(async (tx) => {
      begun();
      const answers = await work(
        tx,
        calls.map(({ item }) => item),
      );
      if (answers.length !== calls.length) throw new Error("a batch has not answered each item");
      return answers;
    });
    metrics.countBatch(calls.length);
    for (let at = 0; at < calls.length; at++) {
      // `as`: `runStep` has checked the length, and a result may be undefined.
      calls[at]?.resolve(results[at] as Result);
    }
  }

  // No async function or closure per call: it would cost more than the rest of this file.
  return (item) => {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    (open ??= begin()).push({ item, resolve, reject });
    return promise;
  };
}
