import { expect, test } from "bun:test";
import { simulate } from "../proofs/simulation/simulator.ts";

// A small part of test/proofs/simulation.test.ts, so that a broken promise shows in the fast tests.

const SEEDS = 10;

test("the service keeps its promises in simulated schedules of kills, faults and clocks", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { wrongs } = await simulate(seed);
    expect({ seed, wrongs }).toEqual({ seed, wrongs: [] });
  }
});
