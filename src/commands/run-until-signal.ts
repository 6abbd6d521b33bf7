import { DatabaseUnusable } from "../store/database-lock.ts";
import type { Steps } from "../store/steps.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs the steps until a signal comes, which ends them at their next pause: then they remove what they have
 * begun, and this rejects with `DatabaseUnusable`.
 */
export async function runUntilSignal<Result>(steps: Steps<Result>): Promise<Result> {
  let heard: NodeJS.Signals | undefined;
  const hear = (signal: NodeJS.Signals) => (heard ??= signal);
  for (const signal of SIGNALS) process.on(signal, hear);
  try {
    for (;;) {
      // A step holds up the event loop, by which signals come.
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
