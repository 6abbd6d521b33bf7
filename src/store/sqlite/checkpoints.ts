/**
 * Work that pauses at points where it can be ended. An error thrown into a pause ends it, and it removes its
 * temporary files. It does not pause after the point of no return.
 */
export type Steps<Result> = Generator<void, Result, void>;

/** Called after each step. Tests end the process there. */
export type OnStep = (step: string) => void;

/** Runs all steps. */
export function runSteps<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
