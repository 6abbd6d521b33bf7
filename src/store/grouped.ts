import type { GroupWork, Store } from "./store.ts";

/** `Store.grouped` on a store's `run`. */
export function createGrouped({ run }: Pick<Store, "run">): Store["grouped"] {
  return (work) => grouped(run, work);
}

function grouped<Item, Result>(
  run: Store["run"],
  work: GroupWork<Item, Result>,
): (item: Item) => Promise<Result> {
  interface Group {
    readonly items: Item[];
    readonly results: Promise<readonly Result[]>;
  }
  let open: Group | undefined;

  function begin(): Group {
    const items: Item[] = [];
    const close = () => {
      if (open?.items === items) open = undefined;
    };
    const results = run((tx) => {
      close();
      return work(tx, items);
    });
    // A step may be refused without having begun: nobody is to join its group after that.
    results.catch(close);
    return { items, results };
  }

  async function alone(item: Item): Promise<readonly Result[]> {
    return run((tx) => work(tx, [item]));
  }

  return async (item) => {
    const group = (open ??= begin());
    const at = group.items.push(item) - 1;
    try {
      return answerAt(await group.results, at);
    } catch (error) {
      if (group.items.length === 1) throw error;
      return answerAt(await alone(item), 0);
    }
  };
}

function answerAt<Result>(results: readonly Result[], at: number): Result {
  if (at >= results.length) throw new Error("a group has answered fewer items than it was given");
  // `as`: what stands within the bounds is a result, even where that may be undefined.
  return results[at] as Result;
}
