/** Work that goes on beside the requests: so many items at a time, and each item once at a time. */
export interface Lanes<Item> {
  /**
   * Takes the item as soon as a lane is free; one that is waiting or in hand is not taken again. False
   * where too many are waiting already: the item is not taken.
   */
  offer(item: Item): boolean;
  /** How many items are waiting or in hand. */
  load(): number;
  /** Resolves when nothing is waiting or in hand. */
  idle(): Promise<void>;
}

/** What may wait for a lane: memory is not to grow with a stranger's silence. */
export const MAX_WAITING = 10_000;

/**
 * Lanes for `count` items that hand up to `together` of those that wait at the same moment to `handle`,
 * which sees to its own errors. Their lanes are free again when all of them are done.
 */
export function createGroupLanes<Item>(
  count: number,
  together: number,
  keyOf: (item: Item) => unknown,
  handle: (items: readonly Item[]) => Promise<void>,
): Lanes<Item> {
  const keys = new Set<unknown>();
  const waiting: Item[] = [];
  let busy = 0;
  let starting = false;
  let whenIdle = Promise.withResolvers<void>();

  function offer(item: Item) {
    const key = keyOf(item);
    if (keys.has(key)) return true;
    if (waiting.length >= MAX_WAITING) return false;
    keys.add(key);
    waiting.push(item);
    if (starting) return true;
    starting = true;
    // After what else is offered at this moment.
    queueMicrotask(() => {
      starting = false;
      start();
    });
    return true;
  }

  function start() {
    while (busy < count && waiting.length > 0) {
      void drive(waiting.splice(0, Math.min(together, count - busy)));
    }
  }

  async function drive(items: readonly Item[]) {
    busy += items.length;
    await handle(items);
    busy -= items.length;
    for (const item of items) keys.delete(keyOf(item));
    start();
    if (keys.size > 0) return;
    whenIdle.resolve();
    whenIdle = Promise.withResolvers();
  }

  return {
    offer,
    load: () => keys.size,
    idle: () => (keys.size === 0 ? Promise.resolve() : whenIdle.promise),
  };
}

/** Lanes for `count` items that hand each by itself to `handle`, which sees to its own errors. */
export function createLanes<Item>(
  count: number,
  keyOf: (item: Item) => unknown,
  handle: (item: Item) => Promise<void>,
): Lanes<Item> {
  return createGroupLanes(count, 1, keyOf, ([item]) =>
    item === undefined ? Promise.resolve() : handle(item),
  );
}
