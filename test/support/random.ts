/** Chance that comes out the same for the same seed (mulberry32), from 0 to 1. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** The seed of one who decides for himself, so that his decisions don't hang on whose turn it is. */
export function seedOf(who: string, seed: number): number {
  return Bun.hash.xxHash32(who, seed);
}
