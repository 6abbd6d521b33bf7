import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { compileWriteLog } from "./crash/tools.ts";
import { NO_COUNTS, SABOTAGES, simulate, sumOf } from "./simulation/simulator.ts";
import { temporaryFolder } from "../support/process.ts";
import { skip } from "../support/skip.ts";

// The whole service in a simulated world, each schedule drawn from its seed. The seeds are fixed, so that
// no run fails by chance; `bun run test:simulate` goes on with others for as long as it is let.

const SEEDS = 60;

/** On a disk that fails by itself: each of these starts no sooner, and runs slower. */
const DISK_SEEDS = 12;

/** The most that a seed takes on a busy machine, many times over. */
const TIMEOUT_MS = 120_000;

describe("in every simulated schedule of kills, faults and clocks", () => {
  test(
    "the service keeps its promises",
    async () => {
      let total = NO_COUNTS;
      for (let seed = 1; seed <= SEEDS; seed++) {
        const { wrongs, counts } = await simulate(seed);
        expect({ seed, wrongs }).toEqual({ seed, wrongs: [] });
        total = sumOf(total, counts);
      }
      console.log(`${SEEDS} schedules:`, total);
      // A schedule that does nothing would prove nothing.
      expect(total.kills).toBeGreaterThan(SEEDS / 4);
      expect(total.commitsFailed).toBeGreaterThan(SEEDS);
      expect(total.charges).toBeGreaterThan(SEEDS);
      expect(total.repeats).toBeGreaterThan(SEEDS);
    },
    TIMEOUT_MS,
  );

  test("a seed comes out the same each time", async () => {
    const first = await simulate(1);
    expect(first.trace.length).toBeGreaterThan(100);
    expect(await simulate(1)).toEqual(first);
  });

  test.each(SABOTAGES)(
    "and the simulator notices %p",
    async (sabotage) => {
      let seed = 1;
      while ((await simulate(seed, sabotage)).wrongs.length === 0) {
        expect(seed).toBeLessThan(SEEDS);
        seed += 1;
      }
      console.log(`${sabotage}: caught by seed ${seed}`);
    },
    TIMEOUT_MS,
  );
});

describe("on a disk that fails while it writes or syncs a COMMIT", () => {
  test(
    "the service keeps its promises as well, and what was refused does not come back after a kill",
    async () => {
      using folder = temporaryFolder();
      const writeLog = await compileWriteLog();
      if (writeLog === null) return skip("the failing syncs, which need a C compiler");
      mkdirSync(join(folder.path, "databases"));
      const { exitCode, stdout, stderr } = Bun.spawnSync(
        [process.execPath, join(import.meta.dir, "simulation/run.ts")],
        {
          env: {
            ...process.env,
            LD_PRELOAD: writeLog,
            WRITE_LOG_OF: join(folder.path, "databases/"),
            WRITE_LOG_FAIL_SYNCS: join(folder.path, "sync-fault"),
            WRITE_LOG_FAIL_WRITES: join(folder.path, "write-fault"),
            SEED: "1",
            N: String(DISK_SEEDS),
          },
        },
      );
      console.log(stdout.toString().trim().split("\n").at(-1));
      expect(stderr.toString()).toBe("");
      expect(exitCode).toBe(0);
    },
    TIMEOUT_MS,
  );
});
