/**
 * Work that pauses where it may be ended: an error thrown into a pause has it remove what it has begun. It does
 * not pause once it can't be undone.
 */
export type Steps<Result> = Generator<void, Result, void>;

/** Hears of each step that is done, for tests that end the process there. */
export type OnStep = (step: string) => void;

/** Runs the steps without a pause. */
export function runSteps<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
