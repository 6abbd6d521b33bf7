import { DatabaseUnusable } from "../store/errors.ts";
import type { Checkpointed } from "../store/sqlite/checkpoints.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs the work. A signal interrupts it at its next checkpoint: it cleans up, and the promise
 * rejects with `DatabaseUnusable`.
 */
export async function runUntilSignal<Result>(work: Checkpointed<Result>): Promise<Result> {
  let received: NodeJS.Signals | undefined;
  const onSignal = (signal: NodeJS.Signals) => (received ??= signal);
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    for (;;) {
      // The event loop delivers signals, and the work blocks it.
      await new Promise((resolve) => setTimeout(resolve, 0));
      const next = received === undefined ? work.next() : work.throw(interruption(received));
      if (next.done) return next.value;
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

function interruption(signal: NodeJS.Signals) {
  return new DatabaseUnusable(`Stopped by ${signal}; nothing was changed.`);
}
