import type { Store, Tx } from "./store.ts";

/**
 * Does in one step of the store, by one call of `work`, what is asked for until that step begins: one
 * statement for many costs a third of as many statements. `work` answers each item in its place. Where
 * it fails for a group, it is called again for each item alone, so that one that fails takes no other
 * with it.
 */
export function grouped<Item, Result>(
  store: Store,
  work: (tx: Tx, items: readonly Item[]) => Promise<readonly Result[]>,
): (item: Item) => Promise<Result> {
  interface Group {
    readonly items: Item[];
    readonly results: Promise<readonly Result[]>;
  }
  let open: Group | undefined;

  function begin(): Group {
    const items: Item[] = [];
    const results = store.run((tx) => {
      if (open?.items === items) open = undefined;
      return work(tx, items);
    });
    return { items, results };
  }

  async function alone(item: Item): Promise<readonly Result[]> {
    return store.run((tx) => work(tx, [item]));
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
