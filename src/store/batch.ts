import type { BatchWork, Store } from "./store.ts";

/** `Store.batch` on a store's `run`. */
export function createBatch({ run }: Pick<Store, "run">): Store["batch"] {
  return (work) => batch(run, work);
}

interface Call<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

function batch<Item, Result>(
  run: Store["run"],
  work: BatchWork<Item, Result>,
): (item: Item) => Promise<Result> {
  /** The calls that the next step answers. */
  let open: Call<Item, Result>[] | undefined;

  function begin(): Call<Item, Result>[] {
    const calls: Call<Item, Result>[] = [];
    const close = () => {
      if (open === calls) open = undefined;
    };
    step(calls, close).catch((reason) => {
      // A step may be refused without having begun: nobody is to join its calls after that.
      close();
      for (const call of calls) {
        if (calls.length === 1) call.reject(reason);
        else step([call]).catch(call.reject);
      }
    });
    return calls;
  }

  async function step(calls: readonly Call<Item, Result>[], begun = () => {}): Promise<void> {
    const results = await run(async (tx) => {
      begun();
      const answers = await work(
        tx,
        calls.map(({ item }) => item),
      );
      if (answers.length !== calls.length) throw new Error("a group has not answered each item");
      return answers;
    });
    for (const [at, { resolve }] of calls.entries()) {
      // `as`: what stands within the bounds is a result, even where that may be undefined.
      resolve(results[at] as Result);
    }
  }

  // No async function for an item: it would cost more than all that is done for it here.
  return (item) =>
    new Promise((resolve, reject) => {
      (open ??= begin()).push({ item, resolve, reject });
    });
}
