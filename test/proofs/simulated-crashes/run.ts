import { NO_COUNTS, simulate, sumOf } from "./simulator.ts";

// Runs N schedules (default: until stopped) with seeds from SEED (default: 1). Exits with status 1
// at the first violation. TRACE=1 prints the events of each schedule.

const PROGRESS_MS = 1000;

const first = Number(process.env["SEED"] ?? 1);
const last = first + Number(process.env["N"] ?? Infinity) - 1;
let total = NO_COUNTS;
const startedAt = performance.now();
let schedules = 0;
let printedAt = startedAt;

function printProgress() {
  const minutes = (performance.now() - startedAt) / 60_000;
  const counts = Object.entries(total).map(([what, count]) => `${count} ${what}`);
  console.log(
    `${schedules} schedules (${Math.round(schedules / minutes)} a minute): ${counts.join(", ")}`,
  );
}

process.on("SIGINT", () => {
  printProgress();
  process.exit();
});

for (let seed = first; seed <= last; seed++) {
  const { violations, trace, counts } = await simulate(seed);
  if (process.env["TRACE"] === "1") console.log(trace.join("\n"));
  schedules += 1;
  total = sumOf(total, counts);
  if (violations.length > 0) {
    console.error(`Seed ${seed} breaks promises:\n${violations.join("\n")}`);
    console.error(`To reproduce: SEED=${seed} N=1 TRACE=1 bun run test:simulate`);
    process.exit(1);
  }
  if (performance.now() - printedAt < PROGRESS_MS) continue;
  printedAt = performance.now();
  printProgress();
}
printProgress();
