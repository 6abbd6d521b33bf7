/** Chance that comes out the same each time for the same seed. */
export interface Chance {
  /** From 0 up to 1. */
  share(): number;
  /** A whole number between these two, both included. */
  whole(min: number, max: number): number;
  /** True in this share of cases. */
  happens(share: number): boolean;
  pick<T>(items: readonly [T, ...T[]]): T;
}

/** Chance of this seed (mulberry32). */
export function createChance(seed: number): Chance {
  let state = Math.imul(seed, 0x9e3779b1);

  function share(): number {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  const whole = (min: number, max: number) => min + Math.floor(share() * (max - min + 1));

  return {
    share,
    whole,
    happens: (limit) => share() < limit,
    pick: (items) => items[whole(0, items.length - 1)] ?? items[0],
  };
}
