import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { compileWriteLog } from "./real-crashes/tools.ts";
import { NO_COUNTS, SABOTAGES, simulate, sumOf } from "./simulated-crashes/simulator.ts";
import { temporaryFolder } from "../support/process.ts";
import { skip } from "../support/skip.ts";

// Runs the complete service in a simulated world; each seed gives one schedule. The seeds are
// fixed, so no run fails by chance. `bun run test:simulate` tries further seeds until it is
// stopped.

const SEEDS = 60;

/** Fewer: schedules on the failing disk are slower. */
const DISK_SEEDS = 12;

/** Many times what a busy machine needs. */
const TIMEOUT_MS = 120_000;

describe("simulation", () => {
  test(
    "service keeps its promises under kills, faults and clock jumps",
    async () => {
      let total = NO_COUNTS;
      for (let seed = 1; seed <= SEEDS; seed++) {
        const { violations, counts } = await simulate(seed);
        expect({ seed, violations }).toEqual({ seed, violations: [] });
        total = sumOf(total, counts);
      }
      console.log(`${SEEDS} schedules:`, total);
      // Idle schedules would prove nothing.
      expect(total.kills).toBeGreaterThan(SEEDS / 4);
      expect(total.commitsFailed).toBeGreaterThan(SEEDS);
      expect(total.charges).toBeGreaterThan(SEEDS);
      expect(total.repeats).toBeGreaterThan(SEEDS);
    },
    TIMEOUT_MS,
  );

  test("is deterministic for a seed", async () => {
    const first = await simulate(1);
    expect(first.trace.length).toBeGreaterThan(100);
    expect(await simulate(1)).toEqual(first);
  });

  test.each(SABOTAGES)(
    "detects the sabotage %p",
    async (sabotage) => {
      let seed = 1;
      while ((await simulate(seed, sabotage)).violations.length === 0) {
        expect(seed).toBeLessThan(SEEDS);
        seed += 1;
      }
      console.log(`${sabotage}: caught by seed ${seed}`);
    },
    TIMEOUT_MS,
  );
});

describe("simulation on a disk that fails during COMMIT", () => {
  test(
    "service keeps its promises, and refused orders do not reappear after a kill",
    async () => {
      using folder = temporaryFolder();
      const writeLog = await compileWriteLog();
      if (writeLog === null) return skip("the failing syncs, which need a C compiler");
      mkdirSync(join(folder.path, "databases"));
      const { exitCode, stdout, stderr } = Bun.spawnSync(
        [process.execPath, join(import.meta.dir, "simulated-crashes/run.ts")],
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
