import { NO_COUNTS, simulate, sumOf } from "./simulator.ts";

// Runs schedules from the seed SEED on (1 if left out), N of them or for ever; ends with status 1 at the
// first that goes wrong. With TRACE=1 prints what happens in each.

/** How often to say how far it has come. */
const PROGRESS_MS = 1000;

const first = Number(process.env["SEED"] ?? 1);
const last = first + Number(process.env["N"] ?? Infinity) - 1;
let total = NO_COUNTS;
const startedAt = performance.now();
let schedules = 0;
let printedAt = startedAt;

function say() {
  const minutes = (performance.now() - startedAt) / 60_000;
  const counts = Object.entries(total).map(([what, count]) => `${count} ${what}`);
  console.log(
    `${schedules} schedules (${Math.round(schedules / minutes)} a minute): ${counts.join(", ")}`,
  );
}

process.on("SIGINT", () => {
  say();
  process.exit();
});

for (let seed = first; seed <= last; seed++) {
  const { wrongs, trace, counts } = await simulate(seed);
  if (process.env["TRACE"] === "1") console.log(trace.join("\n"));
  schedules += 1;
  total = sumOf(total, counts);
  if (wrongs.length > 0) {
    console.error(`Seed ${seed} goes wrong:\n${wrongs.join("\n")}`);
    console.error(`To see it happen again: SEED=${seed} N=1 TRACE=1 bun run test:simulate`);
    process.exit(1);
  }
  if (performance.now() - printedAt < PROGRESS_MS) continue;
  printedAt = performance.now();
  say();
}
say();
