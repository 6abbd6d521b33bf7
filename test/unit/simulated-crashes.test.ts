import { expect, test } from "bun:test";
import { simulate } from "../proofs/simulated-crashes/simulator.ts";

// A small part of test/proofs/simulated-crashes.test.ts, so that the fast tests also find broken
// promises.

const SEEDS = 10;

test("simulation: service keeps its promises under kills, faults and clock jumps", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { violations } = await simulate(seed);
    expect({ seed, violations }).toEqual({ seed, violations: [] });
  }
});
