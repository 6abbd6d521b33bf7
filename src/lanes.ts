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
 * Lanes that hand each item to `handle`, which sees to the errors that it expects. Should it reject all
 * the same, `onFault` hears of it, and the lane is free.
 */
export function createLanes<Item>(
  count: number,
  keyOf: (item: Item) => unknown,
  handle: (item: Item) => Promise<unknown>,
  onFault: (fault: unknown) => void,
): Lanes<Item> {
  const keys = new Set<unknown>();
  const waiting: Item[] = [];
  let busy = 0;
  let whenIdle = Promise.withResolvers<void>();

  function offer(item: Item) {
    const key = keyOf(item);
    if (keys.has(key)) return true;
    if (waiting.length >= MAX_WAITING) return false;
    keys.add(key);
    waiting.push(item);
    start();
    return true;
  }

  function start() {
    if (busy === count) return;
    const item = waiting.shift();
    if (item === undefined) return;
    busy += 1;
    void Promise.try(handle, item)
      .catch(onFault)
      .then(() => finish(item));
  }

  function finish(item: Item) {
    busy -= 1;
    keys.delete(keyOf(item));
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
