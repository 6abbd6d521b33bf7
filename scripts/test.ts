import { serviceCommand } from "../test/support/service-command.ts";

// `bun scripts/test.ts FOLDER…` runs the tests in these subfolders of test/ and prints their CPU
// time.

/** Warns above this. `bun run test` needs less than 100. */
const MAX_CPU_SECONDS = 120;

const folders = process.argv.slice(2);

// Builds the executable once, so that each worker does not.
await serviceCommand();

const tests = Bun.spawn(
  [
    ...[process.execPath, "test", "--timeout=60000"],
    // Three, because process tests mostly wait. Plain `bun test` does not isolate files either.
    ...["--parallel=3", "--no-isolate"],
    ...folders.map((folder) => `./test/${folder}/`),
  ],
  {
    stdio: ["inherit", "inherit", "inherit"],
    // Most code runs only a few times: the JIT's last tier takes 8 % of the CPU time for nothing.
    env: { ...process.env, BUN_JSC_useFTLJIT: "0" },
  },
);
process.exitCode = await tests.exited;

const seconds = Math.round(performance.now() / 1000);
// Includes child processes that the tests waited for.
const cpuSeconds = Math.round(Number(tests.resourceUsage()?.cpuTime.total ?? 0) / 1e6);
console.log(`tests: ${seconds} s, ${cpuSeconds} CPU-seconds`);
if (cpuSeconds > MAX_CPU_SECONDS && !folders.includes("proofs")) {
  console.warn(`The fast tests should need at most ${MAX_CPU_SECONDS} CPU-seconds.`);
}
