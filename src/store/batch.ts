import { type CommitMetrics, NO_COMMIT_METRICS } from "../metrics.ts";
import type { BatchWork, Store } from "./store.ts";

/** The items of one transaction, and their results once it is committed. */
interface Batch<Item, Result> {
  readonly items: Item[];
  /** If the batch failed, one promise per item: each is retried alone. */
  readonly results: Promise<readonly (Result | Promise<Result>)[]>;
}

/**
 * Implements `Store.batch` on top of `run`: calls share one transaction, and so one statement.
 * Group commit shares one COMMIT among transactions. Each retries its own part: one mechanism for
 * both cost 7 % more per order.
 */
export function createBatch(options: BatchOptions): Store["batch"] {
  return (work, canWait = false) => batchOn(options, work, canWait ? options.later : undefined);
}

/** Transactions that wait for another one to join. */
interface Later extends Pick<Store, "run"> {
  /** Ends the wait. */
  beginBatch(): void;
}

/** Calls that can wait do so up to this number: they may hold all slots of a worker's queue. */
const MAX_WAITING_ITEMS = 32;

interface BatchOptions extends Pick<Store, "run"> {
  /** For items that can wait, if waiting saves a commit. */
  readonly later?: Later;
  /** Whether to retry the items of a failed batch one by one; by default always. */
  readonly retriesItems?: (error: unknown) => boolean;
  readonly metrics?: CommitMetrics;
}

function batchOn<Item, Result>(
  options: BatchOptions,
  work: BatchWork<Item, Result>,
  later: Later | undefined,
): (item: Item) => Promise<Result> {
  const { retriesItems = () => true, metrics = NO_COMMIT_METRICS } = options;
  const { run } = later ?? options;
  /** The batch of the next transaction. */
  let collecting: Batch<Item, Result> | undefined;

  function startBatch(): Batch<Item, Result> {
    const items: Item[] = [];
    const close = () => {
      if (collecting?.items === items) collecting = undefined;
    };
    const results = runBatch(items, close).catch((error) => {
      // `run` may fail before it calls `work`: no item may join this batch after that.
      close();
      if (items.length === 1 || !retriesItems(error)) throw error;
      return items.map((item) => runAlone(item));
    });
    return { items, results };
  }

  async function runBatch(items: readonly Item[], onBegin: () => void): Promise<readonly Result[]> {
    const results = await run(async (tx) => {
      onBegin();
      const answers = await work(tx, items);
      if (answers.length !== items.length) {
        throw new Error(`a batch of ${items.length} items returned ${answers.length} results`);
      }
      return answers;
    });
    metrics.countBatch(items.length);
    return results;
  }

  async function runAlone(item: Item): Promise<Result> {
    const [result] = await runBatch([item], () => {});
    // `as`: `runBatch` checks the number of results, and a result may be undefined.
    return result as Result;
  }

  // No async function or resolvers per item: either would cost more than the rest of this file.
  return (item) => {
    const { items, results } = (collecting ??= startBatch());
    const at = items.push(item) - 1;
    if (items.length === MAX_WAITING_ITEMS) later?.beginBatch();
    // `as`: see `runAlone`.
    return results.then((all) => all[at] as Result | Promise<Result>);
  };
}
