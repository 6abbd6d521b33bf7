import { serviceCommand } from "../test/support/service-command.ts";

// Runs all tests and prints what they cost. Arguments are passed on to `bun test`.

/** A run that costs more has grown by a third. */
const MAX_CPU_SECONDS = 120;

// Here, so that the two workers do not build it at the same time.
await serviceCommand();

const tests = Bun.spawn(
  [
    ...[process.execPath, "test", "--timeout=60000", "--timings=test/timings.json"],
    // A third worker saves no time on two cores. `bun test` alone does not isolate the files either.
    ...["--parallel=2", "--no-isolate"],
    ...process.argv.slice(2),
  ],
  { stdio: ["inherit", "inherit", "inherit"] },
);
process.exitCode = await tests.exited;

const seconds = Math.round(performance.now() / 1000);
// Includes the processes that the tests have started and waited for.
const cpuSeconds = Math.round(Number(tests.resourceUsage()?.cpuTime.total ?? 0) / 1e6);
console.log(`tests: ${seconds} s, ${cpuSeconds} CPU-seconds`);
if (cpuSeconds > MAX_CPU_SECONDS) {
  console.warn(`The tests should cost at most ${MAX_CPU_SECONDS} CPU-seconds.`);
}
