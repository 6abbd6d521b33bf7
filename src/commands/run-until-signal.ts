import { DatabaseUnusable } from "../store/errors.ts";
import type { Steps } from "../store/sqlite/checkpoints.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs the steps. A signal ends them at their next pause: they clean up, and the promise rejects with
 * `DatabaseUnusable`.
 */
export async function runUntilSignal<Result>(steps: Steps<Result>): Promise<Result> {
  let heard: NodeJS.Signals | undefined;
  const hear = (signal: NodeJS.Signals) => (heard ??= signal);
  for (const signal of SIGNALS) process.on(signal, hear);
  try {
    for (;;) {
      // Signals are delivered by the event loop, which a step blocks.
      await new Promise((resolve) => setTimeout(resolve, 0));
      const step = heard === undefined ? steps.next() : steps.throw(interruption(heard));
      if (step.done) return step.value;
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, hear);
  }
}

function interruption(signal: NodeJS.Signals) {
  return new DatabaseUnusable(`Stopped by ${signal}; nothing was changed.`);
}
