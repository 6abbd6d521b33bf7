import { createRandom } from "../../support/random.ts";

/** Random values, the same for the same seed. */
export interface Random {
  /** From 0 up to, but not including, 1. */
  random(): number;
  /** An integer from `min` to `max`, both included. */
  integer(min: number, max: number): number;
  /** True with this probability. */
  happens(probability: number): boolean;
  pick<T>(items: readonly [T, ...T[]]): T;
}

/** Returns a source of random values for this seed. */
export function createSeededRandom(seed: number): Random {
  // Spreads consecutive seeds over all states.
  const random = createRandom(Math.imul(seed, 0x9e3779b1));
  const integer = (min: number, max: number) => min + Math.floor(random() * (max - min + 1));

  return {
    random,
    integer,
    happens: (probability) => random() < probability,
    pick: (items) => items[integer(0, items.length - 1)] ?? items[0],
  };
}
